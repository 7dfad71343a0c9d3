# On a fresh machine (Python 3.11 or newer, make, git): `make serve`, `make test`.

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
# HOST=0.0.0.0 lets other machines in: without API keys every route but orders is open to them.
HOST ?= 127.0.0.1
PORT ?= 3000
# PEM files, for https.
SSL_CERTFILE ?=
SSL_KEYFILE ?=
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# The service sees to it itself (service/quiet.py); `bentoml containerize` does not import it.
export BENTOML_DO_NOT_TRACK = true

.PHONY: help serve test quick narrow check format dev bench chaos soak gpu-check image image-cuda image-test wheel sbom constraints clean

help:
	@echo "make serve   serve models/ on port $(PORT) (PORT=, HOST=, SSL_CERTFILE=, SSL_KEYFILE=, GANSERVE_*)"
	@echo "make test    run every test (AT_ONCE=: how many files at once)"
	@echo "make quick   run those that take a minute and say most"
	@echo "make narrow  run those that hang on rounding, with fewer of the CPU's instructions"
	@echo "make check   format, lint, types, and known vulnerabilities of what is installed"
	@echo "make format  apply the format"
	@echo "make dev     install training and test tools into .venv-dev"
	@echo "make bench   measure the service and its peers on this machine (BENCH=--help, BENCH=--quick)"
	@echo "make chaos   measure what is left of the service at ten times its capacity (CHAOS=--help)"
	@echo "make soak    20 minutes of every route and client: errors, memory, threads (SOAK=--help, SOAK='--minutes 2')"
	@echo "make gpu-check  4 minutes of what this machine's GPU gives, without an installation (GPU=--help, GPU=--cpu)"
	@echo "make image   build the container image ganserve:latest (IMAGE=, OPENVINO=1: with that engine); make image-cuda: for NVIDIA GPUs"
	@echo "make wheel   build the Python package into dist/: the client, and the service and training as extras"
	@echo "make sbom    what the images hold, as CycloneDX: dist/ganserve.cdx.json, dist/ganserve-cuda.cdx.json"
	@echo "make image-test   how soon the image is ready; then bring up deploy/compose.yaml, break its parts one at a time, and count what clients lose (FAULTS=--help)"
	@echo "make clean   remove the environments"

# What BentoML writes stays in this folder. No balancer stands in front here, so Ctrl-C need not wait for one to notice.
serve: .venv/.installed
	@.venv/bin/python -m service.preflight $(HOST) $(PORT) '$(SSL_CERTFILE)' '$(SSL_KEYFILE)'
	@BENTOML_HOME=$${BENTOML_HOME:-$(CURDIR)/.bentoml} GANSERVE_DRAIN_SECONDS=$${GANSERVE_DRAIN_SECONDS:-0} \
		exec .venv/bin/bentoml serve --host $(HOST) --port $(PORT) \
		$(if $(SSL_CERTFILE),--ssl-certfile '$(SSL_CERTFILE)') $(if $(SSL_KEYFILE),--ssl-keyfile '$(SSL_KEYFILE)')

# Files of tests at once; 0: one after another. A file's tests stay together.
AT_ONCE ?= 2

test: .venv-dev/.installed
	.venv-dev/bin/python -m pytest -n $(AT_ONCE) --dist loadfile

quick: .venv-dev/.installed
	.venv-dev/bin/python -m pytest -n 2 --dist loadfile -x $(QUICK)

# On x86: as on a CPU without AVX2 (OpenVINO, which needs it: without AVX512), where sums have other low bits. What a training comes
# to, and what engines promise, must hold there too.
narrow: .venv-dev/.installed
	ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=default MKL_ENABLE_INSTRUCTIONS=SSE4_2 \
		.venv-dev/bin/python -m pytest -n 2 --dist loadfile $(NARROW)

NARROW = tests/service/generator/engines tests/training/gan tests/training/run/test_watchdogs.py tests/training/research/theory

QUICK = tests/test_layers.py tests/docs --ignore tests/docs/test_blocks.py tests/service/batching tests/service/drawing tests/service/web tests/training/gan tests/training/data

check: .venv-dev/.installed
	.venv-dev/bin/ruff format --check .
	.venv-dev/bin/ruff check .
	.venv-dev/bin/basedpyright
	.venv-dev/bin/python .ci/audit.py

format: .venv-dev/.installed
	.venv-dev/bin/ruff format .
	.venv-dev/bin/ruff check --fix .

dev: .venv-dev/.installed

bench: .venv/.installed
	@.venv/bin/python -m benchmarks $(BENCH)

chaos: .venv/.installed
	@.venv/bin/python -m benchmarks.overload $(CHAOS)

soak: .venv/.installed
	@.venv/bin/python -m benchmarks.soak $(SOAK)

# Installs nothing: with the environment that is there, or whatever Python has onnxruntime-gpu.
gpu-check:
	@$(firstword $(wildcard .venv/bin/python) $(PYTHON)) -m benchmarks.gpu $(GPU)

image: BENTOFILE = bentofile.yaml
image: IMAGE ?= ganserve:latest
image-cuda: BENTOFILE = bentofile.cuda.yaml
image-cuda: IMAGE ?= ganserve-cuda:latest

# `containerize` from the folder of temporary files, or it refuses its own: https://github.com/bentoml/BentoML/issues/5566
image image-cuda: .venv/.installed
	@export BENTOML_HOME=$(CURDIR)/.bentoml/images; mkdir -p $$BENTOML_HOME; \
		tag=$$(.venv/bin/bentoml build -f $(BENTOFILE) -o tag) || exit 1; \
		cd $${TMPDIR:-/tmp} && $(CURDIR)/.venv/bin/bentoml containerize $${tag#__tag__:} -t $(IMAGE) \
		$(if $(OPENVINO),--opt build-arg=OPENVINO=1)

wheel: .venv-dev/.installed
	.venv-dev/bin/uv build --quiet

# The images install these files and nothing else in Python; what their base has, the base's own maker says.
sbom: .venv-dev/.installed
	@mkdir -p dist
	@for name in ganserve:requirements.lock ganserve-cuda:requirements.cuda.lock; do \
		.venv-dev/bin/uv tool run --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py requirements $${name#*:} --pyproject pyproject.toml --output-reproducible \
			--of JSON -o dist/$${name%%:*}.cdx.json || exit 1; done

# IMAGE, as GANSERVE_IMAGE, is what `make image` made.
image-test: .venv/.installed
	@.venv/bin/python -m benchmarks.faults $(FAULTS)

# The versions of the environments as they are: constraints.txt for `make`, requirements.lock and requirements.cuda.lock
# for the images.
constraints: .venv/.installed .venv-dev/.installed
	@{ head -n 1 constraints.txt; .venv-dev/bin/pip freeze --exclude-editable | sed 's/^onnxruntime-gpu==\(.*\)/onnxruntime==\1\n&/; s/+cpu$$//'; } > constraints.new
	@mv constraints.new constraints.txt
	@{ head -n 1 requirements.lock; .venv/bin/pip freeze --exclude-editable | sed 's/^onnxruntime-gpu==/onnxruntime==/'; } > requirements.new
	@mv requirements.new requirements.lock
	@{ head -n 1 requirements.cuda.lock; grep -vE '^(#|openvino)' requirements.lock | sed 's/^onnxruntime==/onnxruntime-gpu[cuda,cudnn]==/' | \
		.venv-dev/bin/uv pip compile --quiet --no-header --no-annotate --only-binary :all: --python-version 3.11 --python-platform x86_64-manylinux_2_28 -; } > requirements.new
	@mv requirements.new requirements.cuda.lock

clean:
	rm -rf .venv .venv-dev .bentoml dist benchmarks/.venvs benchmarks/.models

.venv/.installed: pyproject.toml setup.py constraints.txt
	@echo "Installing the service into .venv (once, a few minutes) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ganserve needs Python 3.11 or newer; set PYTHON=")'
	@$(PYTHON) -m venv .venv
	@.venv/bin/pip install --quiet --constraint constraints.txt --editable '.[serve]'
	@touch $@

.venv-dev/.installed: pyproject.toml setup.py constraints.txt
	@echo "Installing service, training and test tools into .venv-dev (once, a few minutes) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ganserve needs Python 3.11 or newer; set PYTHON=")'
	@$(PYTHON) -m venv .venv-dev
	@.venv-dev/bin/pip install --quiet --constraint constraints.txt --editable '.[training,dev]'
	@touch $@
