// Package explain explains a path in or below a mount of bpfviewfs. If it is not there, is empty, or cannot
// be read, it tells why.
//
// It looks with the rights of the process, through the mount and cgroupfs, and loads no BPF program. A mount
// may be dead or slow, so each look at one is given up after [Patience].
package explain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"bpfviewfs/internal/plain"
	"golang.org/x/sys/unix"
)

// Patience is how long a mount may take for one answer.
const Patience = 3 * time.Second

// Mount is a mount of bpfviewfs.
type Mount struct {
	Target string // the mount point
	Root   string // the directory of the tree that is mounted there, "/" unless it is a bind mount
	Source string // directory of the cgroup that the tree's root shows
}

// Verdict is an Answer in a word.
type Verdict string

// Verdicts about a path.
const (
	Here         Verdict = "here"
	Empty        Verdict = "empty"
	Off          Verdict = "off"
	Absent       Verdict = "absent"
	Elsewhere    Verdict = "elsewhere"
	NoCgroup     Verdict = "no such cgroup"
	Taken        Verdict = "name taken"
	NotPermitted Verdict = "not permitted"
	Dead         Verdict = "dead"
	NoAnswer     Verdict = "no answer"
	Restarting   Verdict = "server restarting"
	NotMounted   Verdict = "not mounted"
	Failed       Verdict = "failed"
)

// Answer is the explanation of a path.
type Answer struct {
	Path    string  `json:"path"`
	Verdict Verdict `json:"state"`
	What    string  `json:"what"`             // it is
	Why     string  `json:"why,omitempty"`    // it is not as expected
	Remedy  string  `json:"remedy,omitempty"` // the next step
}

// String is the answer as a paragraph.
func (a Answer) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %s.", a.Path, a.What)
	for _, sentence := range []string{a.Why, a.Remedy} {
		if sentence != "" {
			fmt.Fprintf(&text, " %s.",
				strings.ToUpper(sentence[:1])+strings.TrimSuffix(sentence[1:], "."))
		}
	}
	return text.String()
}

// control has the contents of the directory .bpfview and of those below it.
var control = map[string]string{
	"":            "the directory of other renderings of this cgroup's views",
	"json":        "the directory of this cgroup's views as JSON",
	"prom":        "the directory of this cgroup's views as Prometheus text",
	"raw":         "the directory of this cgroup's views as the kernel's structs",
	"schema":      "the directory of descriptions of those structs",
	"tree":        "the directory of views about this cgroup and all below it",
	"cgroup":      "the directory of links to the child cgroups, also to those that have the name of a view",
	"id":          "the directory of links to the cgroups below by their ids",
	"views":       "the list of views, with the reasons of those that are not here",
	"version":     "the version of the mount's server",
	"status.json": "the state of the mount's server",
	"metrics":     "the server's own metrics, as Prometheus text",
	"errors":      "the texts of the last errors that readers got",
	"self":        "a link to the reader's own cgroup",
}

// Path explains a path. mounts are those of this mount namespace, the later above the earlier.
func Path(path string, mounts []Mount) Answer {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Answer{Path: path, Verdict: Failed, What: "its absolute path is not known",
			Why: err.Error()}
	}
	e := explainer{Answer: Answer{Path: abs}}
	for _, m := range mounts {
		if within(m.Target, abs) && len(m.Target) >= len(e.mount.Target) {
			e.mount = m
		}
	}
	if e.mount.Target == "" {
		e.Verdict, e.What = NotMounted, "no bpfviewfs is mounted there"
		e.Remedy = "mount one with: bpfviewfs mount DIRECTORY"
		if len(mounts) > 0 {
			e.Remedy = "it is mounted at " + mounts[0].Target
		}
		return e.Answer
	}
	e.walk(strings.TrimPrefix(strings.TrimPrefix(abs, e.mount.Target), "/"))
	return e.Answer
}

func within(dir, path string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

type explainer struct {
	Answer
	mount Mount
}

// Patiently has f look at a mount. After [Patience] the answer is unix.ETIMEDOUT, and the goroutine waits on.
func Patiently[T any](f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := f()
		done <- result{value, err}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, unix.ETIMEDOUT
	}
}

func stat(path string) (os.FileInfo, error) {
	return Patiently(func() (os.FileInfo, error) { return os.Lstat(path) })
}

func readFile(path string) ([]byte, error) {
	return Patiently(func() ([]byte, error) { return os.ReadFile(path) })
}

// walk goes down from the mount point, and explains where it ends.
func (e *explainer) walk(below string) {
	at := e.mount.Target
	if _, err := stat(at); err != nil {
		e.fault(err)
		return
	}
	cgroup := at // the last directory of a cgroup
	var rest []string
	for _, name := range strings.FieldsFunc(below, func(r rune) bool { return r == '/' }) {
		fi, err := stat(filepath.Join(at, name))
		switch {
		case len(rest) > 0 || name == ".bpfview" && err == nil:
			rest = append(rest, name)
			if err != nil {
				e.missing(cgroup, rest, err)
				return
			}
		case err != nil:
			e.missing(cgroup, []string{name}, err)
			return
		case fi.Mode().IsRegular():
			if filepath.Join(at, name) != e.Path {
				e.Verdict, e.What = Taken,
					fmt.Sprintf("%s is a view in %s, and no directory", name, cgroup)
				if _, err := stat(filepath.Join(e.cgroupfs(cgroup), name)); err == nil {
					e.Why = "a child cgroup has the same name, which the view takes"
					e.Remedy = "reach it by " +
						filepath.Join(cgroup, ".bpfview/cgroup", name)
				}
				return
			}
			e.view(cgroup, name)
			return
		default:
			cgroup = filepath.Join(at, name)
		}
		at = filepath.Join(at, name)
	}
	if len(rest) == 0 {
		e.Verdict, e.What = Here, fmt.Sprintf("the directory of the cgroup %s", e.cgroupfs(cgroup))
		return
	}
	e.below(cgroup, rest)
}

// fault explains an error of the mount itself.
func (e *explainer) fault(err error) {
	switch {
	case errors.Is(err, unix.ENOTCONN):
		e.Verdict, e.What = Dead,
			"the mount at "+e.mount.Target+" is dead: the process that kept it was killed"
		e.Remedy = "clear it with: bpfviewfs umount " + e.mount.Target
	case errors.Is(err, unix.ETIMEDOUT) && restarting(e.mount.Target):
		e.Verdict, e.What = Restarting, fmt.Sprintf("the server of the mount at %s is being restarted",
			e.mount.Target)
		e.Why, e.Remedy = "the last one died, and readers wait for the next one",
			"try again in 10 s; the log of the mount has the cause"
	case errors.Is(err, unix.ETIMEDOUT):
		e.Verdict, e.What = NoAnswer, fmt.Sprintf("the mount at %s did not answer for %v",
			e.mount.Target, Patience)
		e.Why, e.Remedy = "its server is busy or stuck, or a run takes long",
			"try again in 20 s, by when a stuck server is replaced"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		e.Verdict, e.What = NotPermitted, "a directory above it may not be searched by this user"
		e.Remedy = "be root or the owner of the cgroup, or mount with uid= or gid="
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ESTALE):
		e.Verdict, e.What = NoCgroup, "its cgroup was removed meanwhile"
	default:
		e.Verdict, e.What, e.Why = Failed, "it cannot be looked at", err.Error()
	}
}

// missing explains a name below a cgroup's directory that is not there.
func (e *explainer) missing(cgroup string, rest []string, err error) {
	if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
		e.fault(err)
		return
	}
	name := rest[len(rest)-1]
	view, _, _ := strings.Cut(name, ".")
	if len(rest) == 1 || rest[1] != "cgroup" && rest[1] != "id" {
		if row := e.row(cgroup, view); row != nil {
			e.Verdict, e.What = Verdict(row[0]),
				fmt.Sprintf("%s is a view that is %s in %s", view, row[0], cgroup)
			e.Why = row[1]
			switch {
			case e.Verdict == Here: // but not in this rendering
				e.Verdict, e.What = Absent,
					fmt.Sprintf("the view %s has no such rendering", view)
				e.Why = "it writes no records, or iterates over something that has no tree"
			case e.Verdict == Off:
				e.Remedy = fmt.Sprintf("mount with -o enable=%s", view)
			case strings.Contains(e.Why, "requires controller"):
				e.Remedy = fmt.Sprintf(
					"enable it: cgroup.subtree_control of the directory above %s",
					e.cgroupfs(cgroup))
			}
			return
		}
	}
	if len(rest) > 1 {
		e.Verdict, e.What = Absent, fmt.Sprintf("%s has no %s",
			filepath.Join(append([]string{cgroup}, rest[:len(rest)-1]...)...), name)
		if cgroup != e.mount.Target &&
			slices.Contains([]string{"self", "version", "status.json", "metrics", "errors"},
				name) {
			e.Why, e.Remedy = "only the root directory has it",
				"see "+filepath.Join(e.mount.Target, ".bpfview", name)
		} else if rest[1] == "all" || rest[1] == "tree" { // no union, as this look has had noted
			e.Why = e.lastError(cgroup)
		}
		return
	}
	e.Verdict = NoCgroup
	e.What = fmt.Sprintf("%s has no child cgroup and no view called %s", e.cgroupfs(cgroup), name)
	e.Remedy = "the views are listed in " + filepath.Join(cgroup, ".bpfview/views")
}

// row is the presence and the rest of a view's line in the list of a cgroup's views, or nil.
func (e *explainer) row(cgroup, view string) []string {
	text, err := readFile(filepath.Join(cgroup, ".bpfview/views"))
	if err != nil {
		return nil
	}
	heads, _, _ := strings.Cut(string(text), "\n")
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != view || strings.HasPrefix(line, "VIEW ") {
			continue
		}
		about := ""
		if column := strings.Index(heads, "ABOUT"); column > 0 && column < len(line) {
			about = strings.TrimSpace(line[column:])
		}
		return []string{fields[1], about}
	}
	return nil
}

// below explains a path below .bpfview.
func (e *explainer) below(cgroup string, rest []string) {
	name := strings.Join(rest[1:], "/")
	if what, ok := control[name]; ok {
		e.Verdict, e.What = Here, what
		if fi, err := stat(e.Path); err == nil && fi.Mode().IsRegular() {
			e.readable(fi)
		}
		return
	}
	if rest[1] == "cgroup" || rest[1] == "id" {
		e.Verdict, e.What = Here, "a link to the directory of a cgroup"
		return
	}
	view, _, _ := strings.Cut(rest[len(rest)-1], ".")
	e.view(cgroup, view)
}

// view explains the file of a view that is there.
func (e *explainer) view(cgroup, view string) {
	e.Verdict, e.What = Here, fmt.Sprintf("the view %s of the cgroup %s", view, e.cgroupfs(cgroup))
	fi, err := stat(e.Path)
	if err != nil {
		e.fault(err)
		return
	}
	if !e.readable(fi) {
		return
	}
	text, err := readFile(e.Path)
	switch {
	case errors.Is(err, unix.ENOTCONN), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENOENT),
		errors.Is(err, unix.ESTALE):
		e.fault(err)
	case errors.Is(err, unix.ETIMEDOUT) && restarting(e.mount.Target):
		e.fault(err)
	case errors.Is(err, unix.ETIMEDOUT):
		e.Verdict, e.Why = NoAnswer, fmt.Sprintf("it did not answer for %v", Patience)
		e.Remedy = "a run is given up after 10 s"
	case err != nil:
		e.Verdict, e.Why = Failed, fmt.Sprintf("reading it fails: %v", errno(err))
		if line := e.lastError(cgroup); line != "" {
			e.Why += ": " + line
		}
		e.Remedy = "the words behind errors are in " +
			filepath.Join(e.mount.Target, ".bpfview/errors") + ", for root"
	case strings.Count(string(text), "\n") < 2 && !strings.Contains(e.Path, "/.bpfview/") ||
		len(text) == 0:
		e.Verdict = Empty
		e.Why, e.Remedy = e.emptiness(cgroup, view)
	}
}

func errno(err error) error {
	if no, ok := errors.AsType[unix.Errno](err); ok {
		return no
	}
	return err
}

// readable checks that this user may read the file, and explains if not.
func (e *explainer) readable(fi os.FileInfo) bool {
	if unix.Faccessat(unix.AT_FDCWD, e.Path, unix.R_OK, unix.AT_EACCESS) == nil {
		return true
	}
	owner := "?"
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		owner = fmt.Sprintf("user %d and group %d", st.Uid, st.Gid)
	}
	e.Verdict = NotPermitted
	e.Why = fmt.Sprintf("it has mode %04o and belongs to %s, and this is user %d",
		fi.Mode().Perm(), owner, os.Geteuid())
	e.Remedy = "be root or its owner, or mount with uid=, gid= or mode=; settings of the view go first"
	return false
}

// lastError is the text of the file's last error, if this user may read it.
func (e *explainer) lastError(cgroup string) string {
	text, err := readFile(filepath.Join(e.mount.Target, ".bpfview/errors"))
	if err != nil {
		return ""
	}
	file := fmt.Sprintf(" %s of %q: ", plain.Text(strings.TrimPrefix(e.Path, cgroup+"/")), e.cgroupfs(cgroup))
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, line := range slices.Backward(lines) {
		if _, why, found := strings.Cut(line, file); found {
			return why
		}
	}
	return ""
}

// emptiness is why a view shows nothing for a cgroup, and the remedy.
func (e *explainer) emptiness(cgroup, view string) (why, remedy string) {
	dir := e.cgroupfs(cgroup)
	switch view {
	case "memory":
		if has, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers")); err == nil &&
			!hasWord(string(has), "memory") {
			if other := v1Mount("memory"); other != "" {
				return "the memory controller is in the hierarchy at " + other,
					fmt.Sprintf("mount that: bpfviewfs mount %s DIRECTORY", other)
			}
			return "the memory controller is not enabled in this cgroup",
				"write +memory to cgroup.subtree_control in the directory above " + dir
		}
		return "the root cgroup is not charged", ""
	case "psi":
		if _, err := os.Stat("/proc/pressure"); err != nil {
			return "the kernel counts no pressure", "boot with psi=1"
		}
		if on, err := os.ReadFile(filepath.Join(dir, "cgroup.pressure")); err == nil &&
			strings.TrimSpace(string(on)) == "0" {
			return "pressure is not counted for this cgroup", "write 1 to " +
				filepath.Join(dir, "cgroup.pressure")
		}
	}
	procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err == nil && len(procs) == 0 {
		remedy := ""
		if events, _ := os.ReadFile(filepath.Join(dir, "cgroup.events")); strings.Contains(
			string(events), "populated 1") {
			remedy = "cgroups below it have some: " + filepath.Join(cgroup, ".bpfview/tree", view)
		}
		return "no process lives in this cgroup itself", remedy
	}
	return "it has nothing to show for this cgroup now", ""
}

func hasWord(list, word string) bool { return slices.Contains(strings.Fields(list), word) }

// cgroupfs is the directory in cgroupfs of a directory of the mount.
func (e *explainer) cgroupfs(dir string) string {
	return filepath.Join(e.mount.Source, e.mount.Root, strings.TrimPrefix(dir, e.mount.Target))
}

// v1Mount is where a cgroup v1 hierarchy with a controller is mounted, or "".
func v1Mount(controller string) string {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 3 && f[2] == "cgroup" &&
			slices.Contains(strings.Split(f[3], ","), controller) {
			return f[1]
		}
	}
	return ""
}
