# Runs in the guest after it was rebooted under running containers: they come back, and `make down` leaves nothing.
set -eu
cd /root/reconciler
. tests/guest/proof.sh
: >"$LOG"

holds "nothing runs by itself after the reboot" ended
start
soon "curl answers" answers
soon "everything is as the specs say" converged
holds "three replicas answer behind one port" three_replicas
holds "the edit is still in force" says 'Good day'
interrupt
make down
leftovers
holds "nothing is left" nothing_left
cat "$LOG"
echo "PROVED on $(. /etc/os-release && echo "$PRETTY_NAME"), Linux $(uname -r)"
