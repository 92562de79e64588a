package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"bpfviewfs/internal/testenv"
)

// build compiles a view's source, with the headers for authors at hand, and gives the object's path.
func build(t *testing.T, name, source string, flags ...string) string {
	t.Helper()
	testenv.Needs(t, "clang-19", "/usr/include/bpf/bpf_helpers.h")
	file := filepath.Join(t.TempDir(), name+".bpf.c")
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	object := strings.TrimSuffix(file, "c") + "o"
	args := append([]string{"-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Werror",
		"-I../../bpf/include",
		"-c", file, "-o", object}, flags...)
	must(t, "clang-19", args...)
	return object
}

// A program that the verifier refuses: the log has the source's lines, and the summary is not about
// statistics.
func TestCheckShowsVerifierLog(t *testing.T) {
	testenv.NeedsRoot(t)
	code, out, stderr := call(t, exec.Command(command, "check", build(t, "wrong", `
#include "bpfview.h"

SEC("iter/cgroup") VIEW_HELP("follows a pointer that may be NULL")
int wrong(struct bpf_iter__cgroup *ctx)
{
	__u64 id = 1, *found = bpf_map_lookup_elem(&view_sessions, &id);

	VIEW_PRINTF(ctx->meta->seq, "FOUND\n%llu\n", *found);
	return 0;
}
`)))
	if strings.Count(stderr, "\n") < 10 {
		t.Fatalf("exit %d: no log: %s%s", code, out, stderr)
	}
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	last := lines[len(lines)-1]
	if code != 2 || out != "" || !strings.Contains(last, "invalid mem access") {
		t.Errorf("exit %d: the summary is %q", code, last)
	}
	for _, statistic := range []string{"stack depth", "verification time", "processed "} {
		if strings.Contains(last, statistic) {
			t.Errorf("the summary is a statistic: %q", last)
		}
	}
	if log := strings.Join(lines[:len(lines)-1], "\n"); !strings.Contains(log, "; __u64 id = 1, *found = bpf_map_lookup_elem") {
		t.Errorf("no line of the source in the log:\n%s", log)
	}
}

// Each tag that is unknown, or that contradicts the member or another tag, is an error of check and the
// reason in views.
func TestTagsThatContradict(t *testing.T) {
	testenv.NeedsRoot(t)
	const source = `
#include "bpfview.h"

struct tagged_record {
	%s;
};

VIEW_RECORD(struct tagged_record)

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	struct tagged_record r = {};

	return view_emit(seq, &r);
}

SEC("iter/cgroup") VIEW_HELP("nothing") %s
int tagged(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}
`
	tests := []struct{ member, program, want string }{
		{`__u64 wait_msec VIEW_GAUGE VIEW_UNIT("ms")`, "",
			`unit "ms" is none of `},
		{`__u64 wait_usec VIEW_GAUGE VIEW_UNIT("ns")`, "",
			"it is in ns, so its name must end in _nsec"},
		{`__u64 size_bytes VIEW_GAUGE VIEW_UNIT("pages")`, "", "its name must end in _pages"},
		{`__u64 wait_usec VIEW_GAUGE`, "", `needs VIEW_UNIT("us")`},
		{`__u64 n VIEW_GAUGE VIEW_COUNTER`, "", `contradict`},
		{`__u64 n VIEW_KEY VIEW_GAUGE`, "", "a key identifies the record"},
		{`__u32 home VIEW_CGROUP`, "", "the id of a cgroup is a __u64"},
		{`__u64 n VIEW_TAG("hlep:me")`, "",
			`tag "hlep:me" is none of `},
		{`char name[16] VIEW_COUNTER`, "", "a counter is a number"},
		{`__u64 n`, `VIEW_TAG("versoin:2")`,
			`tag "versoin:2" is none of `},
		{`__u64 n`, `VIEW_ORDER("downwards")`, "no such order"},
	}
	views := t.TempDir()
	for i, tt := range tests {
		object := filepath.Join(views, fmt.Sprintf("tagged%d.bpf.o", i))
		must(t, "mv", build(t, "tagged", fmt.Sprintf(source, tt.member, tt.program)), object)
		if code, out, stderr := call(t, exec.Command(command, "check", object)); code != 2 ||
			!strings.Contains(stderr, tt.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s %s: check exits with %d: %s%s", tt.member, tt.program, code, out, stderr)
		}
	}
	_, out, stderr := call(t, exec.Command(command, "views", "-o", "registry=none,views="+views))
	for i, tt := range tests {
		if row := regexp.MustCompile(fmt.Sprintf("(?m)^tagged%d .*$", i)).FindString(out); !strings.Contains(row, tt.want) || strings.Contains(row, syscall.ENOEXEC.Error()) {
			t.Errorf("%s %s: views says %q\n%s", tt.member, tt.program, row, stderr)
		}
	}
	if code, _, stderr := call(t, exec.Command(command, "check",
		build(t, "tagged", fmt.Sprintf(source, "__u64 n VIEW_GAUGE", "")))); code != 0 {
		t.Errorf("a right one: exit %d: %s", code, stderr)
	}
}

// The kernel's printf prints nothing for a format that it does not know. VIEW_PRINTF then fails the run, and
// of a program without it check says that it wrote nothing.
func TestCheckOfSilentFormat(t *testing.T) {
	testenv.NeedsRoot(t)
	for print, want := range map[string]string{
		`bpf_seq_printf(ctx->meta->seq, "%zu", sizeof("%zu"), &level, sizeof(level))`: "this run wrote nothing",
		`VIEW_PRINTF(ctx->meta->seq, "%zu", level)`:                                   "its program gave up",
	} {
		_, out, stderr := call(t, exec.Command(command, "check", build(t, "silent", `
#include "bpfview.h"

SEC("iter/cgroup")
int silent(struct bpf_iter__cgroup *ctx)
{
	struct cgroup *cgrp = ctx->cgroup;
	__u64 level;

	if (!cgrp)
		return 0;
	level = cgrp->level;
	`+print+`;
	return 0;
}
`)))
		if !strings.Contains(out+stderr, want) {
			t.Errorf("%s: no %q in %s%s", print, want, out, stderr)
		}
	}
}

// A flavour that does not load is left out of the view, and check says so.
func TestCheckTellsOfFlavours(t *testing.T) {
	testenv.NeedsRoot(t)
	code, out, stderr := call(t, exec.Command(command, "check", build(t, "half", `
#include "bpfview.h"

SEC("iter/task")
int half___task(struct bpf_iter__task *ctx)
{
	__u64 id = 1, *found = bpf_map_lookup_elem(&view_sessions, &id);

	VIEW_PRINTF(ctx->meta->seq, "%llu\n", *found);
	return 0;
}

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	VIEW_PRINTF(seq, "LEVEL\n%d\n", cgrp->level);
	return 0;
}

SEC("iter/cgroup") VIEW_HELP("how deep the cgroup is")
int half(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}
`)))
	if code != 0 || !strings.Contains(out, "consider  view half: program half___task is left out: ") ||
		!strings.Contains(out, "invalid mem access") {
		t.Errorf("exit %d: %s%s", code, out, stderr)
	}
}

// cat runs a view where a mount has it, and why agrees. A glob with the name of a unit as systemctl shows it
// means another cgroup; the view's warning has the glob that is right.
func TestMatchOfUnit(t *testing.T) {
	testenv.NeedsRoot(t)
	c := newCgroup(t, "/nowhere")
	unit := c.child(`a\x2db.service`)
	views := t.TempDir()
	run := func(command ...string) (code int, out string) {
		t.Helper()
		code, out, stderr := call(t, exec.Command(command[0], command[1:]...))
		return code, out + stderr
	}
	settings := func(glob string) {
		t.Helper()
		if err := os.WriteFile(views+"/cgroup.yaml",
			[]byte("match:\n  - "+glob+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	options := "registry=none,views=" + views
	agree := func(dir string, want int) {
		t.Helper()
		why, explained := run(command, "why", "-o", options, "cgroup", dir)
		if cat, out := run(command, "cat", "-o", options, "cgroup", dir); why != want || cat != want {
			t.Errorf("%s: cat exits with %d, why with %d, want %d: %s%s",
				dir, cat, why, want, out, explained)
		}
	}
	settings("'*/" + filepath.Base(unit.path) + "'")
	agree(unit.path, exitNoView)
	_, out := run(command, "why", "-o", options, "cgroup", unit.path)
	right := regexp.MustCompile(`so write ('.*')`).FindStringSubmatch(out)
	if right == nil {
		t.Fatalf("why has no glob that is right: %s", out)
	}
	settings(right[1])
	agree(unit.path, 0)
	agree(c.path, exitNoView)
	if _, out := run(command, "cat", "--tree", "-o", options, "cgroup", c.path); strings.Count(out,
		"\n") != 2 {
		t.Errorf("the tree has not one cgroup: %s", out)
	}
}

// Views may include vmlinux.h beside each of the headers for authors, in either order.
func TestVmlinuxBesideHeaders(t *testing.T) {
	testenv.NeedsRoot(t)
	testenv.Needs(t, "bpftool", "clang-19", "/usr/include/bpf/bpf_helpers.h")
	types := must(t, "bpftool", "btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c")
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/vmlinux.h", []byte(types), 0o644); err != nil {
		t.Fatal(err)
	}
	headers, err := filepath.Glob("../../bpf/include/*.h")
	if err != nil || len(headers) < 5 {
		t.Fatal(headers, err)
	}
	for i, header := range headers {
		headers[i] = filepath.Base(header)
	}
	include := func(files ...string) (lines string) {
		for _, file := range files {
			lines += "#include \"" + file + "\"\n"
		}
		return lines
	}
	const view = `
struct both_record {
	__u64 forks VIEW_COUNTER VIEW_HELP("processes that were started");
	__u64 vruntime_nsec VIEW_GAUGE VIEW_UNIT("ns") VIEW_HELP("of which kernel.h knows nothing");
};

VIEW_RECORD(struct both_record)

VIEW_STATE(forks, struct both_record)

SEC("tp_btf/sched_process_fork")
int BPF_PROG(both_fork, struct task_struct *parent, struct task_struct *child)
{
	struct both_record *state = forks_of(view_cgroup(parent));

	if (state && !view_task_is_dead(parent)) {
		__sync_fetch_and_add(&state->forks, 1);
		state->vruntime_nsec = BPF_CORE_READ(parent, se.vruntime);
	}
	return 0;
}

static __noinline int show(struct seq_file *seq, struct cgroup *cgrp)
{
	struct both_record *state = forks_seen(cgrp), r = {};

	if (state)
		r = *state;
	return view_emit(seq, &r);
}

SEC("iter/cgroup") VIEW_HELP("both headers")
int both(struct bpf_iter__cgroup *ctx)
{
	return view_in_epilogue(ctx, show);
}

VIEW_TREE(both, show)
`
	for name, files := range map[string][]string{
		"vmlinux.h first": append([]string{"vmlinux.h"}, headers...),
		"vmlinux.h last":  append(slices.Clone(headers), "vmlinux.h"),
	} {
		code, out, stderr := call(t, exec.Command(command, "check",
			build(t, "both", include(files...)+view, "-I"+dir)))
		if code != 0 || strings.Contains(out, "left out") || !strings.Contains(out, "vruntime_nsec") {
			t.Errorf("%s: exit %d: %s%s", name, code, out, stderr)
		}
	}
}
