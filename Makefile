# SPDX-License-Identifier: MIT OR Apache-2.0
# One door for people and for CI: `make help` lists what there is.

ARCH ?= host
MACHINE ?= arm
STORY ?= hypervisor
PREFIX ?= /usr/local
DESTDIR ?=

# The architecture whose library a machine of examples/hypervisor links.
ARCH_OF_arm := aarch64
ARCH_OF_riscv := riscv64
ARCH_OF_amd := x86_64
ARCH_OF_intel := x86_64

ARCHITECTURES := host x86_64 aarch64 riscv64
MACHINES := arm riscv amd intel
STORIES := hypervisor linux migrate postcopy precopy transfer vm
# The machines of a story that is not for all.
MACHINES_OF_linux := arm
MACHINES_OF_migrate := arm
# The parts of the library that a story needs, and the archive that has them.
PARTS_OF_migrate := dirty merge
PARTS_OF_postcopy := provider
PARTS_OF_precopy := dirty
PARTS_OF_transfer := transfer
ARCHIVE_OF_STORY = build/$(ARCH_OF_$(MACHINE))$(if $(PARTS_OF_$(STORY)),-$(STORY))
FORMATS_KNOWN := intel-ept amd-npt arm-stage2 riscv-gstage

# $(call one,NAME,VALUE,KNOWN) is the end unless the value is one of those known; $(call some,...) unless each
# word of it is.
refuse = $(error $(1)=$(2) is not known; there are: $(3))
some = $(if $(filter-out $(3),$(2))$(if $(strip $(2)),,none),$(refuse))
one = $(some)$(if $(filter 1,$(words $(2))),,$(refuse))
comma := ,
CALLS_KNOWN = $(shell grep -o '\baxas_[a-z0-9_]*' link/api.sym)
PARTS_KNOWN = $(shell sed -n 's/^\([a-z][a-z]*\).*/\1/p' link/parts | sort -u)
CAPABILITIES_KNOWN = $(shell sed -n 's/^CAPABILITIES_KNOWN="\(.*\)"$$/\1/p' scripts/common.sh)
without = $(if $(WITHOUT),$(call some,WITHOUT,$(WITHOUT),$(CAPABILITIES_KNOWN)))
parts = $(if $(PARTS),$(call some,PARTS,$(PARTS),$(PARTS_KNOWN)))
calls = $(if $(CALLS),$(call some,CALLS,$(CALLS),$(CALLS_KNOWN)))
formats = $(if $(FORMATS),$(call some,FORMATS,$(subst $(comma), ,$(FORMATS)),$(FORMATS_KNOWN)))

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
# Every target has a line for `make help`, and none is a file.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' $(firstword $(MAKEFILE_LIST)))

help: ## list the targets
	@echo 'Targets:'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | \
		while IFS='|' read -r name what; do printf '  %-15s%s\n' "$$name" "$$what"; done
	@echo 'Variables: SETUP=0 (install nothing), ARCH=host|x86_64|aarch64|riscv64 (lib, install), HARDEN=1 STATIC_HAL=1 SPLIT_SECTIONS=1 LOG=0 DEBUG_SYMBOLS=1 FORMATS= CALLS= PARTS= WITHOUT= (lib: docs/linking.md), MACHINE=arm|riscv|amd|intel (run, machines), STORY=hypervisor|linux|migrate|postcopy|precopy|transfer|vm (run), PREFIX=, DESTDIR= (install, uninstall)'

setup: ## install what is missing: Rust and its targets, C tools, QEMU
	@scripts/setup.sh

lib: ## build the library for ARCH: build/ARCH/libaxaddrspace.a
	$(call one,ARCH,$(ARCH),$(ARCHITECTURES))$(formats)$(calls)$(parts)$(without)
	@scripts/setup.sh $(ARCH)
	@scripts/build-lib.sh $(ARCH)

tools: ## build axas-inspect, which prints and draws dumped tables: build/bin/axas-inspect
	@scripts/setup.sh host
	@scripts/build-tools.sh

header: ## make include/axaddrspace.h from the Rust sources
	@scripts/setup.sh host
	@scripts/header.sh write

header-check: ## fail when include/axaddrspace.h is stale
	@scripts/setup.sh host
	@scripts/header.sh check

abi: ## compare the header with the committed interface, by abidiff
	@scripts/setup.sh abi
	@scripts/abi.py check

abi-update: ## make the header's interface the committed one
	@scripts/setup.sh abi
	@scripts/abi.py update

run: ## run the example hypervisor and its guest in QEMU
	$(call one,STORY,$(STORY),$(STORIES))$(call one,$(if $(MACHINES_OF_$(STORY)),STORY=$(STORY) )MACHINE,$(MACHINE),$(or $(MACHINES_OF_$(STORY)),$(MACHINES)))$(formats)
	@scripts/setup.sh $(ARCH_OF_$(MACHINE)) $(MACHINE)
	@PARTS='$(PARTS_OF_$(STORY))' scripts/build-lib.sh $(ARCH_OF_$(MACHINE)) $(ARCHIVE_OF_STORY)
	@$(MAKE) -C examples/hypervisor run MACHINE=$(MACHINE) \
		LIB=$(CURDIR)/$(ARCHIVE_OF_STORY)/libaxaddrspace.a \
		BUILD=$(CURDIR)/build/examples/hypervisor/$(MACHINE)

# All machines, unless the command line names some.
EMULATED := $(if $(filter command,$(firstword $(origin MACHINE))),$(MACHINE),$(MACHINES))

# With the parts that walkers have a say in; the tests boot most of the suite without them.
machines: ## run the suite on emulated page walkers: each machine, or MACHINE
	$(call some,MACHINE,$(EMULATED),$(MACHINES))$(formats)
	@scripts/setup.sh $(foreach m,$(EMULATED),$(ARCH_OF_$(m)) $(m))
	@set -e; for machine in $(foreach m,$(EMULATED),$(m)/$(ARCH_OF_$(m))); do \
		PARTS="tags stock io hide age merge provider" scripts/build-lib.sh "$${machine#*/}" "build/$${machine#*/}-machines"; \
		$(MAKE) -C c-tests/machines check MACHINE="$${machine%/*}" \
			LIB="$(CURDIR)/build/$${machine#*/}-machines/libaxaddrspace.a" \
			BUILD="$(CURDIR)/build/c-tests-machines/$${machine%/*}"; \
	done

test: ## run every test: Rust, C, header, README, emulators
	@scripts/setup.sh test
	@scripts/test.sh

cpu-time: ## the CPU time of each test that `make test` built, and which take too long
	@scripts/check-cpu-time.py

test-quick: ## the C tests on the host archive and the Rust unit tests
	@scripts/setup.sh quick
	@scripts/test.sh quick

bare-root: ## run `make run` and `make test` as the first commands on a bare Debian 12 (an hour, root, debootstrap)
	@scripts/bare-root.sh

loom: ## model-check lock, entries and generation, with negative controls (minutes)
	@scripts/setup.sh host
	@scripts/loom.sh

tsan: ## stress the C interface under ThreadSanitizer (minutes)
	@scripts/setup.sh test
	@scripts/tsan.sh

asan: ## the C tests under AddressSanitizer, the Rust code instrumented too
	@scripts/setup.sh test
	@scripts/asan.sh

soak: ## all calls of all formats at once, allocations failing, under ThreadSanitizer: MINUTES=4
	@scripts/setup.sh test
	@MINUTES='$(MINUTES)' scripts/soak.sh

coverage: ## how much of src/ the tests of the host reach, and which lines not (minutes)
	@scripts/setup.sh quick coverage
	@scripts/coverage.sh

differential: ## compare two archives call by call: OLD=file or OLD_COMMIT=commit, NEW=, OPERATIONS=
	@scripts/setup.sh quick
	@$(if $(NEW),,scripts/build-lib.sh host)
	@OLD='$(OLD)' NEW='$(NEW)' OLD_COMMIT='$(OLD_COMMIT)' OPERATIONS='$(OPERATIONS)' scripts/differential.sh

exhaust: ## every call in every state of tiny spaces, every allocation failing: TRANSITIONS= GROUP= (half an hour)
	@scripts/setup.sh quick
	@scripts/build-lib.sh host
	@TRANSITIONS='$(TRANSITIONS)' GROUP='$(GROUP)' scripts/exhaust.sh

random: ## random calls against a model of pages, before CPUs and devices that keep translations: OPERATIONS=5000000 for each format, SEED=1
	@scripts/setup.sh quick
	@scripts/build-lib.sh host
	@OPERATIONS='$(OPERATIONS)' SEED='$(SEED)' FORMAT='$(FORMAT)' scripts/random.sh

fuzz: ## libFuzzer over C interface, decoders and dumps, under AddressSanitizer: SECONDS=60 for each of TARGETS=
	@scripts/setup.sh test fuzz
	@SECONDS_EACH='$(SECONDS)' TARGETS='$(TARGETS)' scripts/fuzz.sh

mutants: ## plant defects in the engine, judge each by the host tests: N=150 SEED=1 JOBS= FILES= AGAIN=missed (hours)
	@scripts/setup.sh test mutants
	@N='$(N)' SEED='$(SEED)' JOBS='$(JOBS)' FILES='$(FILES)' AGAIN='$(AGAIN)' scripts/mutants.py

budgets: ## code size and instructions beside golden figures and goals, in one table; the stack of the calls
	@scripts/setup.sh lib bench
	@scripts/budgets.py

bench: ## measure against peers and limits: docs/bench (minutes); RUNS=5 for the median of so many; BENCH_QUICK=1 to see that it runs
	@scripts/setup.sh lib bench
	@RUNS='$(RUNS)' scripts/bench.sh

ab: ## time two archives in turn: OLD=file or OLD_COMMIT=commit (a63ae8e), NEW=, ROUNDS= (minutes)
	@scripts/setup.sh x86_64
	@OLD='$(OLD)' NEW='$(NEW)' OLD_COMMIT='$(OLD_COMMIT)' ROUNDS='$(ROUNDS)' scripts/ab.sh

docs: ## make the documentation site: build/docs/html/index.html
	@scripts/setup.sh docs
	@scripts/docs.sh build

check: ## check style and licences: rustfmt, clippy, clang-format, cppcheck, reuse
	@scripts/setup.sh check lib
	@scripts/check.sh

format: ## format the Rust and C sources in place
	@scripts/setup.sh check
	@scripts/check.sh --format

licenses: ## check the licences of what is in the archives
	@scripts/setup.sh licenses
	@scripts/licenses.py check

# All architectures, unless the command line names some.
ARCHES := $(if $(filter command,$(firstword $(origin ARCH))),$(ARCH),$(ARCHITECTURES))

install: ## install archives (ARCH: one only), header, pkg-config and CMake files below DESTDIR PREFIX
	$(call some,ARCH,$(ARCHES),$(ARCHITECTURES))$(formats)
	@scripts/setup.sh $(ARCHES)
	@set -e; for arch in $(ARCHES); do scripts/build-lib.sh "$$arch"; done
	@scripts/install.sh '$(PREFIX)' '$(DESTDIR)' $(ARCHES)

uninstall: ## take away what install put below DESTDIR PREFIX
	@scripts/install.sh '$(PREFIX)' '$(DESTDIR)'

dist: ## make a release: archives of all architectures, axas-inspect; the sources with their crates: build/dist/*.tar.gz
	@scripts/dist.sh ready
	@scripts/setup.sh lib licenses dist
	@scripts/licenses.py check
	@scripts/header.sh check
	@set -e; for arch in $(ARCHITECTURES); do scripts/build-lib.sh $$arch; done
	@scripts/build-tools.sh
	@scripts/dist.sh

clean: ## remove what was built (set-up's tools stay)
	@echo 'removing target/ and build/ (but not build/tools)'
	@rm -rf target
	@if [ -d build ]; then find build -mindepth 1 -maxdepth 1 ! -name tools -exec rm -rf {} +; fi
