# make run    build, mount at /run/bpfview, show live output        (root)
# make test   all tests                                             (root; as another user the pure ones)

DIR     = /run/bpfview
PREFIX  = /usr/local
VERSION = $(shell git -c safe.directory='*' describe --tags --always --dirty 2>/dev/null || echo unreleased)

export CGO_ENABLED = 0
# Root's PATH may lack Go, for example that of sudo.
export PATH := $(PATH):/usr/local/go/bin:/usr/lib/go/bin:/snap/bin:$(HOME)/sdk/go/bin

# The command is built again if a source, or the commit, is newer. So "make" as a user and then
# "sudo make run" works if root has no Go.
SOURCES = go.mod go.sum $(wildcard .git/logs/HEAD) $(filter-out docs/% packaging/% %_test.go, \
	$(shell find */ -type f ! -path '*/testdata/*'))

bpfviewfs: $(SOURCES)
	go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS) -X main.version=$(VERSION)' -o $@ ./cmd/bpfviewfs
	@touch $@

run: bpfviewfs
	@mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
	@mkdir -p $(DIR)
	@if findmnt -t fuse.bpfviewfs $(DIR) >/dev/null; then ./bpfviewfs umount $(DIR); fi
	./bpfviewfs mount $(DIR)
	@echo; cat $(DIR)/.bpfview/views
	@echo; echo "$$ cat $(DIR)/cpu"; cat $(DIR)/cpu
	@echo; echo "$$ head -n 5 $(DIR)/tasks"; head -n 5 $(DIR)/tasks
	@echo; echo "Every cgroup has these files: ls $(DIR). To unmount: umount $(DIR)"

# Tests without the programs that they need are skipped, and listed at the end. TESTFLAGS=-strict fails then.
test:
	@.ci/programs test || true
	go run .ci/test.go $(TESTFLAGS) -- -count=1 -timeout=20m ./... ./.ci/bench

# The tests again on other kernels, in virtual machines (see .ci/vm/run).
test-vm:
	.ci/vm/run

# This program beside its peers, in one run and one table (docs/performance.md). BASE=REVISION measures that
# revision, too, and ROWS=NAME,NAME only some rows. QUICK=1 shows within a minute that everything runs.
bench:
	@.ci/programs bench || true
	go run ./.ci/bench $(if $(QUICK),-quick) $(BASE:%=-base %) $(ROWS:%=-rows %) $(BENCHFLAGS)

# Ten minutes of readers, floods, kills and reloads. It fails if an operation does, or if the mount grows.
# FOR=1m is shorter.
soak:
	go run ./.ci/soak $(FOR:%=-for %)

# How long readers wait while servers are killed and replaced (root).
kills: bpfviewfs
	go run ./.ci/kills -command ./bpfviewfs $(KILLSFLAGS)

# The benchmarks of the packages.
microbench:
	go test -run='^$$' -bench=. ./...

# The BPF programs are built by clang and committed, so go build needs no clang.
objects:
	$(MAKE) -C bpf
	$(MAKE) -C iter/testdata
	$(MAKE) -C .ci/bench/c

BINDIR = $(PREFIX)/bin
UNITS  = bpfviewfs.service bpfviewfs-exporter.service run-bpfview.mount run-bpfview.automount
MANUAL = man8/bpfviewfs.8 man8/mount.fuse.bpfviewfs.8 man5/bpfviewfs.5 man5/bpfviewfs-views.5

# README and all that it links to, in the same places, so that links work without a network.
DOCDIR = $(PREFIX)/share/doc/bpfviewfs
DOCS   = README.md ARCHITECTURE.md CHANGELOG.md CONTRIBUTING.md SECURITY.md bpf/taskspb.proto \
	cmd/bpfviewfs/labels/testdata/paths.txt packaging/prometheus/bpfviewfs.rules.yml packaging/grafana/bpfviewfs.json \
	$(filter-out %.o,$(wildcard docs/*.* docs/examples/*.* packaging/kubernetes/*.yaml))

# mount(8) looks for helpers in /sbin alone, wherever the rest is.
SBINDIR = /sbin

# For people and programs: settings, the schema of taskspb, a reader of raw output.
SHARED = example.yaml settings.schema.json taskspb.proto bpfview_raw.py

INSTALLED = $(BINDIR)/bpfviewfs $(SBINDIR)/mount.fuse.bpfviewfs \
	$(UNITS:%=$(PREFIX)/lib/systemd/system/%) $(PREFIX)/lib/tmpfiles.d/bpfviewfs.conf \
	$(PREFIX)/lib/sysusers.d/bpfviewfs.conf \
	$(PREFIX)/share/bash-completion/completions/bpfviewfs $(PREFIX)/share/zsh/site-functions/_bpfviewfs \
	$(PREFIX)/share/fish/vendor_completions.d/bpfviewfs.fish $(MANUAL:%=$(PREFIX)/share/man/%) \
	$(SHARED:%=$(PREFIX)/share/bpfviewfs/%) $(DOCS:%=$(DOCDIR)/%)

install: bpfviewfs
	install -d $(sort $(dir $(INSTALLED:%=$(DESTDIR)%)))
	install bpfviewfs $(DESTDIR)$(BINDIR)
	ln -sf $(BINDIR)/bpfviewfs $(DESTDIR)$(SBINDIR)/mount.fuse.bpfviewfs
	install -m 0644 $(UNITS:%=packaging/systemd/%) $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed -i 's,@BINDIR@,$(BINDIR),' $(DESTDIR)$(PREFIX)/lib/systemd/system/bpfviewfs*.service
	install -m 0644 packaging/tmpfiles.d/bpfviewfs.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d
	install -m 0644 packaging/sysusers.d/bpfviewfs.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d
	install -m 0644 packaging/man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 0644 packaging/man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5
	./bpfviewfs manual $(DESTDIR)$(PREFIX)/share/man/man8
	for f in $(DOCS); do install -m 0644 $$f $(DESTDIR)$(DOCDIR)/$$f || exit; done
	install -m 0644 docs/example.yaml iter/sources/settings.schema.json bpf/taskspb.proto \
		docs/examples/bpfview_raw.py $(DESTDIR)$(PREFIX)/share/bpfviewfs
	./bpfviewfs completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/bpfviewfs
	./bpfviewfs completion zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_bpfviewfs
	./bpfviewfs completion fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/bpfviewfs.fish

# A release in dist/, for amd64 and arm64: packages (deb, rpm, apk), commands, images, bills of materials. The same
# commit gives the same bytes. ARCHES=arm64 makes a part of it.
dist:
	packaging/dist $(ARCHES)
	packaging/check dist

uninstall:
	rm -f $(INSTALLED:%=$(DESTDIR)%) $(DESTDIR)$(PREFIX)/share/man/man8/bpfviewfs-*.8

clean:
	rm -rf bpfviewfs dist

.PHONY: run test test-vm bench soak kills microbench objects install dist uninstall clean
