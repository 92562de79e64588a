package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

// attacked is a node with a pod and a victim's pod. Nothing may ever appear in the directory outside.
func attacked(t *testing.T) (n *csiNode, pod *cgroup, victim, outside string) {
	t.Helper()
	c := newCgroup(t, "")
	dir := mountDir(t, c.path, "registry="+newRegistry(t))
	c.mirror = dir
	n = newCSINode(t, dir)
	pod = n.pod(c)
	victim = "0" + n.uid[1:35] + "0"
	c.open("kubepods.slice").child("kubepods-pod" + strings.ReplaceAll(victim, "-", "_") + ".slice")
	outside = t.TempDir()
	if err := os.Mkdir(outside+"/mount", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		entries, err := os.ReadDir(outside)
		if err != nil || len(entries) != 1 || entries[0].Type() != os.ModeDir {
			t.Errorf("outside of kubelet's directory: %v, %v", entries, err)
		}
		if err := os.Remove(outside + "/mount"); err != nil { // EBUSY if a volume is mounted there
			t.Errorf("outside of kubelet's directory: %v", err)
		}
	})
	return n, pod, victim, outside
}

// TestCSIHostileRequests has requests as an author of pods could cause them if neither the API server nor
// kubelet refused them. Each has its code and a short answer, and leaves nothing mounted.
func TestCSIHostileRequests(t *testing.T) {
	n, _, victim, outside := attacked(t)
	target := n.target("view")
	above := filepath.Dir(target)
	of := filepath.Join(n.kubelet, "pods", victim, "volumes/kubernetes.io~csi/view/mount")
	if err := os.MkdirAll(filepath.Dir(of), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, above+"/link"); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 1<<20)
	const wrong, uid, container = codes.InvalidArgument, "csi.storage.k8s.io/pod.uid", "container"
	for what, tt := range map[string]struct {
		path  string // target path, if not the pod's own
		attrs map[string]string
		code  codes.Code
		says  string
	}{
		"the uid of another pod":         {attrs: map[string]string{uid: victim}, code: wrong, says: "not of the pod"},
		"the directory of another pod":   {path: of, code: wrong, says: "not of the pod"},
		"a uid in capitals":              {attrs: map[string]string{uid: strings.ToUpper(n.uid)}, code: wrong, says: "no uid"},
		"a uid and NUL":                  {attrs: map[string]string{uid: n.uid + "\x00"}, code: wrong, says: "no uid"},
		"a uid and a slash":              {attrs: map[string]string{uid: n.uid + "/"}, code: wrong, says: "no uid"},
		"a long uid":                     {attrs: map[string]string{uid: long}, code: wrong, says: "no uid"},
		"a pattern as uid":               {attrs: map[string]string{uid: strings.Repeat("?", 36)}, code: wrong, says: "no uid"},
		"the container ..":               {attrs: map[string]string{container: ".."}, code: wrong, says: "no name"},
		"a container's absolute path":    {attrs: map[string]string{container: outside}, code: wrong, says: "no name"},
		"a container and NUL":            {attrs: map[string]string{container: "app\x00"}, code: wrong, says: "no name"},
		"a container of two lines":       {attrs: map[string]string{container: "app\nlevel=info"}, code: wrong, says: "no name"},
		"a long container":               {attrs: map[string]string{container: long}, code: wrong, says: "no name"},
		"a long attribute":               {attrs: map[string]string{long: "x"}, code: wrong, says: "is unknown"},
		"an attribute of two lines":      {attrs: map[string]string{"a\nb": "x"}, code: wrong, says: "is unknown"},
		"a long word for ephemeral":      {attrs: map[string]string{"csi.storage.k8s.io/ephemeral": long}, code: wrong, says: "inline"},
		"more than a message":            {attrs: map[string]string{container: strings.Repeat(long, 5)}, code: codes.ResourceExhausted, says: "larger than max"},
		"a path and NUL":                 {path: target + "\x00", code: wrong, says: "--root-dir"},
		"a path with NUL":                {path: above + "\x00/mount", code: wrong, says: "--root-dir"},
		"a relative path":                {path: "kubelet/pods/view", code: wrong, says: "--root-dir"},
		"a path with a slash at its end": {path: target + "/", code: wrong, says: "--root-dir"},
		"a path with two slashes":        {path: above + "//mount", code: wrong, says: "--root-dir"},
		"a path with a dot":              {path: above + "/./mount", code: wrong, says: "--root-dir"},
		"a path with dots":               {path: above + "/../../../../../../outside", code: wrong, says: "--root-dir"},
		"a directory beside pods":        {path: n.kubelet + "/pods-other/view/mount", code: wrong, says: "--root-dir"},
		"the root":                       {path: "/", code: wrong, says: "--root-dir"},
		"the directory of the pod":       {path: n.kubelet + "/pods/" + n.uid, code: wrong, says: "not of the pod"},
		"a long name":                    {path: above + "/" + strings.Repeat("x", 256), code: wrong, says: "too long"},
		"a long path":                    {path: above + strings.Repeat("/x", 1<<19), code: wrong, says: "too long"},
		"a long name on the way":         {path: above + "/" + strings.Repeat("x", 256) + "/mount", code: wrong, says: "too long"},
		"a link as the target":           {path: above + "/link", code: wrong, says: "no directory"},
		"a link on the way":              {path: above + "/link/mount", code: wrong, says: "directories alone"},
	} {
		r := n.request(target)
		if tt.path != "" {
			r.TargetPath = tt.path
		}
		for key, value := range tt.attrs {
			r.VolumeContext[key] = value
		}
		code, why := n.publish(r)
		if code != tt.code || !strings.Contains(why, tt.says) || strings.Contains(why, "\n") || len(why) > 1000 {
			t.Errorf("%s: %v, %.1000s; want %v, %s", what, code, why, tt.code, tt.says)
		}
		if tt.path != "" && tt.says != "not of the pod" {
			if code, why := n.unpublish(tt.path); code != tt.code || len(why) > 1000 {
				t.Errorf("%s: unpublish: %v, %.1000s", what, code, why)
			}
		}
		if left := n.mounts(); len(left) > 0 || exists(target) {
			t.Fatalf("%s leaves %v", what, left)
		}
	}
	for line := range strings.Lines(n.said.String()) {
		if len(line) > 2000 {
			t.Errorf("a line of the log has %d bytes: %.200s", len(line), line)
		}
	}
}

// TestCSIChangedTargets has others change a published volume: its attributes, its directory, a mount over it.
func TestCSIChangedTargets(t *testing.T) {
	n, pod, _, outside := attacked(t)
	target := n.target("view")
	above := filepath.Dir(target)
	want := func(what string, wantCode codes.Code, says string, code codes.Code, why string) {
		t.Helper()
		if code != wantCode || !strings.Contains(why, says) {
			t.Errorf("%s: %v, %s; want %v, %s", what, code, why, wantCode, says)
		}
	}
	named := func(container string, readOnly bool) *csi.NodePublishVolumeRequest {
		r := n.request(target)
		r.VolumeContext["container"], r.Readonly = container, readOnly
		return r
	}
	n.log("app", "a")
	app := pod.child("cri-containerd-" + strings.Repeat("a", 64) + ".scope")
	n.mustPublish(named("app", true))
	first := n.mounts()
	n.mustPublish(named("app", false))
	code, why := n.publish(named("side", true))
	want("another container", codes.AlreadyExists, `"app"`, code, why)
	code, why = n.publish(n.request(target))
	want("the whole pod", codes.AlreadyExists, `"app"`, code, why)
	if now := n.mounts(); len(now) != 2 || now[0].ID != first[0].ID || now[1].ID != first[1].ID {
		t.Errorf("%v, and now %v", first, now)
	}
	for _, m := range first {
		if !slices.Contains(strings.Split(m.Options, ","), "ro") {
			t.Errorf("a volume can be written: %v", m)
		}
	}

	// The directory of the volume is another one, and a link to it stands in its place.
	exchange := func() error {
		return unix.Renameat2(unix.AT_FDCWD, above, unix.AT_FDCWD, above+".link", unix.RENAME_EXCHANGE)
	}
	if err := os.Symlink(outside, above+".link"); err != nil {
		t.Fatal(err)
	}
	if err := exchange(); err != nil {
		t.Fatal(err)
	}
	code, why = n.publish(named("app", true))
	want("publish through a link", codes.InvalidArgument, "directories alone", code, why)
	code, why = n.unpublish(target)
	want("unpublish through a link", codes.InvalidArgument, "directories alone", code, why)
	if err := exchange(); err != nil {
		t.Fatal(err)
	}

	// A mount over the volume is not this driver's.
	if err := unix.Mount("theirs", target, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	code, why = n.publish(named("app", true))
	want("publish below a mount", codes.AlreadyExists, "theirs", code, why)
	code, why = n.unpublish(target)
	want("unpublish below a mount", codes.FailedPrecondition, "theirs", code, why)
	if err := unix.Unmount(target, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(target + "/app/cpu"); err != nil {
		t.Errorf("the volume after all: %v", err)
	}
	n.mustUnpublish(target)

	// The target itself becomes a link before the first call, and between two.
	for range 2 {
		if err := os.Symlink(outside+"/mount", target); err != nil {
			t.Fatal(err)
		}
		code, why = n.publish(named("app", true))
		want("publish at a link", codes.InvalidArgument, "no directory", code, why)
		code, why = n.unpublish(target)
		want("unpublish a link", codes.InvalidArgument, "no directory", code, why)
		if err := os.Remove(target); err != nil {
			t.Fatal(err)
		}
		n.mustPublish(named("app", true))
		n.mustUnpublish(target)
	}

	// A user's cgroup with the name of the pod is not found before the pod's own.
	top := &cgroup{t: t, path: filepath.Dir(filepath.Dir(filepath.Dir(pod.path))), fd: -1}
	users := top.child("a.slice")
	users.child("kubepods").child("pod" + n.uid).sleep(1)
	n.mustPublish(n.request(target))
	if text := read(t, target+"/pod/cgroup"); !strings.Contains(text, filepath.Base(pod.path)) {
		t.Errorf("the volume shows %s", text)
	}
	n.mustUnpublish(target)

	// Nor is it found in place of the pod's own, which is not there.
	app.remove()
	pod.remove()
	if err := os.Chown(users.path, 1000, 1000); err != nil { // as systemd does it for Delegate=
		t.Fatal(err)
	}
	code, why = n.publish(n.request(target))
	want("a user's cgroup", codes.NotFound, "others than root", code, why)
}

// TestCSIAtOnce has 64 calls at once, for one target and for 64. Then the volume's directory and a link to a
// directory outside change places again and again.
func TestCSIAtOnce(t *testing.T) {
	n, _, _, outside := attacked(t)
	const calls = 64
	var targets []string
	for i := range calls {
		targets = append(targets, n.target("view-"+string(rune('a'+i%26))+string(rune('a'+i/26))))
	}
	each := func(call func(i int) (codes.Code, string)) (answers map[codes.Code]int) {
		var all sync.WaitGroup
		var mu sync.Mutex
		answers = make(map[codes.Code]int)
		for i := range calls {
			all.Go(func() {
				code, _ := call(i)
				mu.Lock()
				defer mu.Unlock()
				answers[code]++
			})
		}
		all.Wait()
		return answers
	}
	publish := func(i int) (codes.Code, string) { return n.publish(n.request(targets[i])) }
	unpublish := func(i int) (codes.Code, string) { return n.unpublish(targets[i]) }
	if got := each(publish); got[codes.OK] != calls || len(n.mounts()) != 2*calls {
		t.Errorf("64 volumes: %v, %d mounts", got, len(n.mounts()))
	}
	if got := each(unpublish); got[codes.OK] != calls || len(n.mounts()) > 0 {
		t.Errorf("64 volumes removed: %v, %v", got, n.mounts())
	}
	one := func(int) (codes.Code, string) { return publish(0) }
	if got := each(one); got[codes.OK] == 0 || got[codes.OK]+got[codes.Aborted] != calls || len(n.mounts()) != 2 {
		t.Errorf("64 calls for one volume: %v, %v", got, n.mounts())
	}
	either := func(i int) (codes.Code, string) {
		if i%2 == 0 {
			return publish(0)
		}
		return unpublish(0)
	}
	if got := each(either); got[codes.OK]+got[codes.Aborted] != calls || len(n.mounts())%2 != 0 {
		t.Errorf("both at once: %v, %v", got, n.mounts())
	}

	above := filepath.Dir(targets[0])
	if err := os.Symlink(outside, above+".link"); err != nil {
		t.Fatal(err)
	}
	stop, ended := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for ; ; n++ {
			err := unix.Renameat2(unix.AT_FDCWD, above, unix.AT_FDCWD, above+".link", unix.RENAME_EXCHANGE)
			if err != nil {
				t.Error(err)
			}
			select {
			case <-stop:
				if n%2 == 1 { // the directory has its name again
					ended <- n
					return
				}
			default:
			}
		}
	}()
	for range 4 {
		got := each(either)
		if got[codes.OK]+got[codes.Aborted]+got[codes.InvalidArgument] != calls {
			t.Errorf("while the directory changes: %v", got)
		}
	}
	close(stop)
	if changes := <-ended; changes < 2 {
		t.Errorf("%d changes", changes)
	}
	n.mustUnpublish(targets[0])
	if left := n.mounts(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
