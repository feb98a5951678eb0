# What a newcomer and CI type. Everything works from a fresh clone; what is missing is installed, once.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help run down check test bench root host servers

PYTHON := .venv/bin/python
PIP := .venv/bin/pip install --quiet --disable-pip-version-check --no-input --require-hashes --only-binary :all:

# The demonstration is an instance of its own: an installed reconciler beside it is not touched.
DEMO := --instance reconciler-demo --state /var/lib/reconciler-demo --run-directory /run/reconciler-demo
SOCKET := /run/reconciler-demo/status.sock

HOST := runc conmon nftables iproute2 libarchive-tools dnsmasq-base busybox-static tini ca-certificates curl python3 python3-venv
SERVERS := docker-registry skopeo umoci nginx redis-server openssl procps util-linux git containernetworking-plugins

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: root host .venv/run .build/demo-image/index.json ## (sudo) keep this machine the way specs/ says, in the foreground
	@echo
	@echo "  Try, in another terminal:   curl http://localhost:8080/"
	@echo "                              docker -H unix://$(SOCKET) ps"
	@echo "  Then edit specs/hello.toml, or kill a container. Ctrl-C leaves them running; sudo make down removes them."
	@echo
	@exec $(PYTHON) -m reconciler run $(DEMO) specs

down: root .venv/run ## (sudo) remove the containers of make run
	@$(PYTHON) -m reconciler down $(DEMO)

check: .venv/test ## linters, types, layers and the tests that need no root
	@$(PYTHON) -m pytest --quiet -m "not root and not host"

test: root servers .venv/test ## (sudo) everything: also real containers, networks and registries
	@$(PYTHON) -m pytest --quiet

bench: root servers .venv/test ## (sudo) speed and memory beside docker, podman and containerd, as ratios
	@$(PYTHON) -m tests.bench

root:
	@test "$$(id -u)" = 0 || { echo "cannot go on: containers and networks need root; try again with sudo" >&2; exit 1; }

host:
	@scripts/install-packages $(HOST)

servers: host
	@scripts/install-packages $(SERVERS)

# One environment, made again when the lock changes; `test` is `run` and more. The project itself is not built: a line
# in a .pth file puts this checkout on the path.
.venv/run: requirements/run.txt
	@echo "making the environment .venv"
	@python3 -m venv --clear .venv
	@$(PIP) -r $<
	@pwd > "$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/reconciler.pth"
	@touch $@

.venv/test: requirements/test.txt .venv/run
	@$(PIP) -r $<
	@touch $@

.build/demo-image/index.json: examples/build_image.py .venv/run
	@rm -rf .build/demo-image
	@$(PYTHON) $< .build/demo-image > /dev/null
