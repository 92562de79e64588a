# make run    build, mount at /run/bpfview, show live output        (root)
# make test   all tests                                             (root; as anybody else the pure ones)

DIR     = /run/bpfview
PREFIX  = /usr/local
VERSION = $(shell git describe --tags --always --dirty 2>/dev/null || echo unreleased)

export CGO_ENABLED = 0

bpfviewfs: FORCE
	go build -trimpath -ldflags '-X main.version=$(VERSION)' -o $@ ./cmd/bpfviewfs

run: bpfviewfs
	@mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
	@mkdir -p $(DIR)
	@if findmnt -t fuse.bpfviewfs $(DIR) >/dev/null; then ./bpfviewfs umount $(DIR); fi
	./bpfviewfs mount $(DIR)
	@echo; cat $(DIR)/.bpfview/views
	@echo; echo "$$ cat $(DIR)/cpu"; cat $(DIR)/cpu
	@echo; echo "$$ head -n 5 $(DIR)/tasks"; head -n 5 $(DIR)/tasks
	@echo; echo "Every cgroup has these files: ls $(DIR). To unmount: umount $(DIR)"

test:
	go test -count=1 -timeout=20m $(TESTFLAGS) ./...

# The tests again on other kernels, in virtual machines: see .ci/vm/run.
test-vm:
	.ci/vm/run

bench:
	go test -run='^$$' -bench=. ./...

# The BPF programs are built by clang and committed: go build needs none.
objects:
	$(MAKE) -C bpf
	$(MAKE) -C iter/testdata

# mount(8) looks for helpers in /sbin alone.
install: bpfviewfs
	install -D -m 0755 bpfviewfs $(DESTDIR)$(PREFIX)/bin/bpfviewfs
	install -d $(DESTDIR)/sbin
	ln -sf $(PREFIX)/bin/bpfviewfs $(DESTDIR)/sbin/mount.fuse.bpfviewfs

uninstall:
	rm -f $(DESTDIR)/sbin/mount.fuse.bpfviewfs $(DESTDIR)$(PREFIX)/bin/bpfviewfs

clean:
	rm -f bpfviewfs

.PHONY: run test test-vm bench objects install uninstall clean FORCE
