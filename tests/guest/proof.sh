# Read by the two scripts that run in a guest: how they ask, and how they fail.

SOCKET=/run/reconciler-demo/status.sock
LOG=/root/run.log

# Say what holds, or end with what was seen.
holds() {
	what=$1
	shift
	if ! "$@"; then
		echo "NOT SO: $what" >&2
		cat "$LOG" >&2
		exit 1
	fi
	echo "$(date +%T) $what"
}

# Try for ten minutes: an emulated machine is slow.
soon() {
	what=$1
	shift
	end=$(($(date +%s) + 600))
	until "$@" >/dev/null 2>&1; do
		if [ "$(date +%s)" -ge $end ]; then
			holds "$what" false
		fi
		sleep 1
	done
	echo "$(date +%T) $what"
}

# `make run` as somebody has it in a terminal, which Ctrl-C ends.
start() {
	systemd-run --quiet --collect --unit demo --working-directory /root/reconciler --setenv "PATH=$PATH" \
		$(env | grep -E '^(PIP_|SSL_|https?_proxy=|HTTPS?_PROXY=)' | sed 's/^/--setenv /') \
		--property "StandardOutput=append:$LOG" --property "StandardError=append:$LOG" make run
}

interrupt() {
	systemctl kill --signal INT demo
	soon "Ctrl-C ends make run" ended
}

ended() { ! systemctl is-active --quiet demo; }

answers() { curl --silent --fail --max-time 5 http://localhost:8080/; }

says() { answers | grep --quiet "$1"; }

three_replicas() {
	[ "$(for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do answers; done | sort --unique | wc --lines)" = 3 ]
}

converged() { curl --silent --unix-socket $SOCKET http://reconciler/v1/status | grep --quiet '"converged": *true'; }

docker_ps() { curl --silent --fail --unix-socket $SOCKET http://reconciler/containers/json; }

processes() { pgrep --full '^httpd -f' | sort; }

leftovers() {
	pgrep --list-name 'conmon|httpd' || true
	ip -oneline link | grep 'rc-' || true
	ip netns
	nft list tables | grep reconciler || true
	grep reconciler /proc/self/mountinfo || true
	find /sys/fs/cgroup /run -name '*reconciler*'
}

nothing_left() { [ -z "$(leftovers)" ]; }
