# Runs in a guest, as root: from a machine that has neither make nor git to containers that an edit, a kill and Ctrl-C
# do to what they should.
set -eu
cp -r /mnt/share /root/reconciler
cd /root/reconciler
. tests/guest/proof.sh
: >"$LOG"

line=$(grep --max-count 1 '^apt-get update' README.md)
echo "$(date +%T) $line"
sh -c "$line" </dev/null >/root/apt.log 2>&1 || { tail -5 /root/apt.log; exit 1; }

start
soon "curl answers" answers
soon "everything is as the specs say" converged
holds "three replicas answer behind one port" three_replicas
holds "docker ps has something to show" docker_ps >/dev/null
holds "the memory limit is the kernel's" grep --quiet --line-regexp 33554432 -r /sys/fs/cgroup --include memory.max
.venv/bin/python -m reconciler status --run-directory /run/reconciler-demo
.venv/bin/python -m reconciler doctor

sed -i 's/Hello from/Good day from/' specs/hello.toml
soon "an edit is followed" says 'Good day'
soon "everything is as the specs say" converged
victim=$(processes | head -n 1)
kill -KILL "$victim"
gone() { ! kill -0 "$victim" && [ "$(processes | wc --lines)" = 3 ]; }
soon "what was killed runs again" gone
soon "everything is as the specs say" converged

before=$(processes)
interrupt
holds "containers outlive the daemon" three_replicas
start
soon "everything is as the specs say" converged
holds "a new daemon touches nothing" [ "$before" = "$(processes)" ]
cat "$LOG"
sync
