package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bpfviewfs/internal/ktest"
	"bpfviewfs/internal/testenv"
	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcstatus "google.golang.org/grpc/status"
)

// csiNode is a node of a cluster that is made up of directories and cgroups, with a running plugin.
type csiNode struct {
	t             testing.TB
	mount         string // of bpfviewfs
	uid           string // of the pod, which no other test has
	kubelet, logs string
	socket        string
	plugin        *exec.Cmd
	said          strings.Builder

	csi.NodeClient
	identity csi.IdentityClient
}

func newCSINode(t testing.TB, mount string) *csiNode {
	t.Helper()
	testenv.NeedsRoot(t)
	work := t.TempDir()
	now := time.Now().UnixMicro() & 0xffffffffffff
	n := &csiNode{t: t, mount: mount, uid: fmt.Sprintf("%08x-4c5f-4e0b-9d4e-%012x", os.Getpid(), now),
		kubelet: work + "/kubelet", logs: work + "/logs", socket: work + "/csi.sock"}
	for _, dir := range []string{n.kubelet + "/pods", n.logs} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mount(n.kubelet, n.kubelet, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left := n.mounts(); len(left) > 0 {
			t.Errorf("still mounted: %v", left)
		}
		unix.Unmount(n.kubelet, unix.MNT_DETACH)
	})
	// As on a node, where all mounts are shared. Private comes first, because under systemd the root is
	// shared. Each mount below would then be in the root once more.
	err := unix.Mount("", n.kubelet, "", unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount("", n.kubelet, "", unix.MS_SHARED, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	n.start()
	return n
}

// start starts the plugin, which ends with the test. Each has a connection of its own, because a call may go
// out on the old one before its end is known.
func (n *csiNode) start() {
	n.t.Helper()
	n.said.Reset()
	n.plugin = exec.Command(command, "csi", n.mount+"/", "--endpoint=unix://"+n.socket,
		"--kubelet-dir="+n.kubelet, "--logs-dir="+n.logs, "--node=here")
	n.plugin.Stderr = &n.said
	if err := n.plugin.Start(); err != nil {
		n.t.Fatal(err)
	}
	plugin := n.plugin
	n.t.Cleanup(func() {
		plugin.Process.Kill()
		plugin.Wait()
		if n.t.Failed() && plugin == n.plugin {
			n.t.Logf("the plugin: %s", &n.said)
		}
	})
	connection, err := grpc.NewClient("unix:"+n.socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { connection.Close() })
	n.NodeClient, n.identity = csi.NewNodeClient(connection), csi.NewIdentityClient(connection)
}

// mounts are the mounts below kubelet's directory.
func (n *csiNode) mounts() (list []*mountinfo.Info) {
	n.t.Helper()
	list, err := mountinfo.GetMounts(mountinfo.PrefixFilter(n.kubelet + "/pods"))
	if err != nil {
		n.t.Fatal(err)
	}
	return list
}

// target is the path where kubelet wants a volume of the pod, and makes the directory above.
func (n *csiNode) target(name string) string {
	n.t.Helper()
	dir := n.kubelet + "/pods/" + n.uid + "/volumes/kubernetes.io~csi/" + name
	if err := os.MkdirAll(dir, 0o755); err != nil {
		n.t.Fatal(err)
	}
	return dir + "/mount"
}

func (n *csiNode) request(target string) *csi.NodePublishVolumeRequest {
	return &csi.NodePublishVolumeRequest{
		VolumeId: "csi-0a1b", TargetPath: target,
		VolumeCapability: &csi.VolumeCapability{
			AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
			AccessMode: &csi.VolumeCapability_AccessMode{
				Mode: csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER,
			},
		},
		VolumeContext: map[string]string{
			"csi.storage.k8s.io/pod.name": "web-1", "csi.storage.k8s.io/pod.namespace": "shop",
			"csi.storage.k8s.io/pod.uid": n.uid, "csi.storage.k8s.io/ephemeral": "true",
			"csi.storage.k8s.io/serviceAccount.name": "default",
		},
	}
}

// publish calls the plugin, which may have to start first, and returns its code.
func (n *csiNode) publish(r *csi.NodePublishVolumeRequest) (codes.Code, string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := n.NodePublishVolume(ctx, r, grpc.WaitForReady(true))
	return grpcstatus.Code(err), grpcstatus.Convert(err).Message()
}

func (n *csiNode) unpublish(target string) (codes.Code, string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r := &csi.NodeUnpublishVolumeRequest{VolumeId: "csi-0a1b", TargetPath: target}
	_, err := n.NodeUnpublishVolume(ctx, r, grpc.WaitForReady(true))
	return grpcstatus.Code(err), grpcstatus.Convert(err).Message()
}

func (n *csiNode) mustPublish(r *csi.NodePublishVolumeRequest) {
	n.t.Helper()
	if code, why := n.publish(r); code != codes.OK {
		n.t.Fatalf("publish: %v, %s", code, why)
	}
}

func (n *csiNode) mustUnpublish(target string) {
	n.t.Helper()
	if code, why := n.unpublish(target); code != codes.OK {
		n.t.Fatalf("unpublish: %v, %s", code, why)
	}
	if exists(target) {
		n.t.Errorf("%s outlives the volume", target)
	}
}

// podCgroup makes the cgroup of a pod as kubelet's driver systemd does.
func (n *csiNode) pod(c *cgroup) *cgroup {
	return c.child("kubepods.slice").child("kubepods-burstable.slice").child(
		"kubepods-burstable-pod" + strings.ReplaceAll(n.uid, "-", "_") + ".slice")
}

// log makes kubelet's link for a container that has started, and returns the name of its cgroup.
func (n *csiNode) log(name, digit string) (cgroup string) {
	n.t.Helper()
	id := strings.Repeat(digit, 64)
	if err := os.Symlink("/var/log/pods/shop_web-1_"+n.uid+"/"+name+"/0.log",
		n.logs+"/web-1_shop_"+name+"-"+id+".log"); err != nil {
		n.t.Fatal(err)
	}
	return "cri-containerd-" + id + ".scope"
}

// sidecar is a mount namespace as a container has one, with the volume at another place. If propagation is
// slave, which Kubernetes calls HostToContainer, it gets mounts that come later.
type sidecar struct {
	t    testing.TB
	pid  int
	view string
}

func newSidecar(t testing.TB, volume, propagation string) *sidecar {
	t.Helper()
	testenv.Needs(t, "unshare", "nsenter")
	view := t.TempDir()
	cmd := exec.Command("unshare", "--mount", "--propagation", propagation, "sh", "-c",
		`mount --rbind "$1" "$2" && VIEW=$2/pod`+letGo+`echo ready && exec cat`, "sh", volume, view)
	stdin, stdout := ktest.Pipes(t, cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	if n, err := stdout.Read(make([]byte, 6)); err != nil || n != 6 {
		t.Fatalf("sidecar: %v", err)
	}
	return &sidecar{t, cmd.Process.Pid, view}
}

// cat reads a file of the volume; an error is text that begins with cat:.
func (s *sidecar) cat(path string) string {
	cmd := exec.Command("nsenter", "-t", fmt.Sprint(s.pid), "-m", "cat", s.view+"/"+path)
	out, _ := cmd.CombinedOutput()
	return string(out)
}

// open opens a file of the volume as a process in the container does.
func (s *sidecar) open(path string) *os.File {
	s.t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/root%s/%s", s.pid, s.view, path))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { f.Close() })
	return f
}

// follow reads a file again and again, and paths of the volume, until stop, which reports the first error.
func (s *sidecar) follow(file string) (stop func()) {
	s.t.Helper()
	held := s.open(file)
	path := held.Name()
	quit, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		buf := make([]byte, 64<<10)
		for n := 0; ; n++ {
			select {
			case <-quit:
				if n == 0 {
					ended <- fmt.Errorf("no read")
				}
				close(ended)
				return
			default:
			}
			m, err := held.ReadAt(buf, 0)
			if m == 0 {
				ended <- fmt.Errorf("read %d of the held file: %v", n, err)
				return
			}
			if _, err := os.ReadFile(path); err != nil {
				ended <- fmt.Errorf("read %d by path: %w", n, err)
				return
			}
		}
	}()
	return func() {
		s.t.Helper()
		close(quit)
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	}
}

// end ends a process, so that its cgroup can be removed.
func end(cmd *exec.Cmd) {
	cmd.Process.Kill()
	cmd.Wait()
}

// TestCSI has a pod's volume from its first moment to its last. Meanwhile everything that it depends on dies.
func TestCSI(t *testing.T) {
	options := []string{everything, "registry=" + newRegistry(t)}
	dir := mountDir(t, "cgroup2", options...)
	n := newCSINode(t, dir)
	c := newCgroup(t, dir)
	pod := n.pod(c)
	app := pod.child("cri-containerd-" + strings.Repeat("a", 64) + ".scope")
	work := app.sleep(1)
	other := c.child("other")
	otherWork := other.sleep(1)

	target := n.target("view")
	n.mustPublish(n.request(target))
	if text := read(t, fmt.Sprintf("/proc/%d/status", n.plugin.Process.Pid)); os.Getenv("CGO_ENABLED") == "0" &&
		!strings.Contains(text, fmt.Sprintf("CapEff:\t%016x\n", 1<<unix.CAP_SYS_ADMIN)) {
		t.Errorf("the plugin has other capabilities than CAP_SYS_ADMIN: %s", text)
	}
	first := n.mounts()
	if len(first) != 2 {
		t.Fatalf("mounts of a volume: %v", first)
	}
	for _, m := range first {
		for _, flag := range []string{"ro", "nosuid", "nodev", "noexec"} {
			if !slices.Contains(strings.Split(m.Options, ","), flag) {
				t.Errorf("%s lacks %s: %s", m.Mountpoint, flag, m.Options)
			}
		}
	}
	view := target + "/pod"
	tasks := read(t, view+"/.bpfview/tree/tasks")
	if !strings.Contains(tasks, fmt.Sprint(" ", work.Process.Pid, " ")) ||
		strings.Contains(tasks, fmt.Sprint(" ", otherWork.Process.Pid, " ")) {
		t.Errorf("want the task %d alone, and not %d: %s", work.Process.Pid, otherWork.Process.Pid, tasks)
	}
	for _, path := range []string{target + "/x", view + "/x", target + "/pod/../x"} {
		if err := os.Mkdir(path, 0o755); err == nil || !strings.Contains(err.Error(), "read-only") {
			t.Errorf("mkdir %s: %v", path, err)
		}
	}
	if err := unix.Mount("", target, "", unix.MS_REMOUNT|unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(target+"/x", 0o755); err == nil {
		t.Error("a container that remounts the volume can write to it")
	}

	n.mustPublish(n.request(target))
	if again := n.mounts(); len(again) != 2 || again[0].ID != first[0].ID || again[1].ID != first[1].ID {
		t.Errorf("publishing again makes %v of %v", again, first)
	}

	// A sidecar reads on without an error while the plugin dies, and the server of bpfviewfs.
	follower, private := newSidecar(t, target, "slave"), newSidecar(t, target, "private")
	stop := follower.follow("pod/cpu")
	n.plugin.Process.Kill()
	n.plugin.Wait()
	n.start()
	n.mustPublish(n.request(target))
	unix.Kill(status(t, dir).Server, unix.SIGKILL)
	n.mustPublish(n.request(target))
	must(t, command, "reload", dir)
	must(t, command, "reload", "--keeper", dir)
	n.mustPublish(n.request(target))
	stop()
	if again := n.mounts(); len(again) != 2 || again[1].ID != first[1].ID {
		t.Errorf("a server that dies makes %v of %v", again, first)
	}

	// The pod's cgroup is removed: the volume is of a cgroup that is gone. Made again, it is the new one.
	held := follower.open("pod/cpu")
	end(work)
	app.remove()
	pod.remove()
	if text := follower.cat("pod/cpu"); !strings.Contains(text, "No such file") {
		t.Errorf("a removed pod: %s", text)
	}
	for i, want := range []error{nil, unix.ENODEV} { // the held run, and a new one
		if _, err := held.ReadAt(make([]byte, 1), 0); !errors.Is(err, want) {
			t.Errorf("read %d of a held file of a removed pod: %v, want %v", i, err, want)
		}
	}
	if code, why := n.publish(n.request(target)); code != codes.Unavailable ||
		!strings.Contains(why, "stays as it is") {
		t.Errorf("publish again without the pod: %v, %s", code, why)
	}
	pod = (&cgroup{t: t, path: filepath.Dir(pod.path), mirror: filepath.Dir(pod.mirror)}).child(
		filepath.Base(pod.path))
	second := pod.child("cri-containerd-" + strings.Repeat("b", 64) + ".scope").sleep(1)
	n.mustPublish(n.request(target))
	says := func(s *sidecar, want bool) {
		t.Helper()
		text := s.cat("pod/.bpfview/tree/tasks")
		if strings.Contains(text, fmt.Sprint(" ", second.Process.Pid, " ")) != want {
			t.Errorf("tasks with process %d: want %v: %s", second.Process.Pid, want, text)
		}
	}
	says(follower, true)
	says(private, false) // and so docs/kubernetes.md says

	// Without bpfviewfs the volume waits for a new mount. Unmounted, the old one serves volumes on until
	// then.
	for what, end := range map[string]struct {
		do  func()
		cat string
	}{
		"umount":            {func() { must(t, "umount", dir) }, "USAGE_USEC"},
		"the service stops": {func() { unix.Kill(status(t, dir).Keeper, unix.SIGTERM) }, "not connected"},
		"the keeper dies":   {func() { unix.Kill(status(t, dir).Keeper, unix.SIGKILL) }, "not connected"},
	} {
		end.do()
		eventually(t, what, func() bool { return strings.Contains(follower.cat("pod/cpu"), end.cat) })
		if _, err := os.ReadDir(target); err != nil {
			t.Errorf("%s: kubelet looks at the volume: %v", what, err)
		}
		code, why := n.publish(n.request(target))
		if code != codes.Unavailable || !strings.Contains(why, dir) {
			t.Errorf("%s: publish: %v, %s", what, code, why)
		}
		fresh := n.target("fresh")
		if code, why := n.publish(n.request(fresh)); code != codes.Unavailable || exists(fresh) {
			t.Errorf("%s: publish a new volume: %v, %s", what, code, why)
		}
		args := []string{"mount", "cgroup2", dir}
		for _, o := range options {
			args = append(args, "-o", o)
		}
		must(t, command, args...)
		n.mustPublish(n.request(target))
		says(follower, true)
		if now := n.mounts(); len(now) != 2 {
			t.Errorf("%s: after a new mount: %v", what, now)
		}
	}

	// After a reboot the directory is there, and no mount.
	if err := unix.Unmount(target, unix.MNT_DETACH); err != nil || len(n.mounts()) > 0 {
		t.Fatalf("%v, %v", err, n.mounts())
	}
	n.mustPublish(n.request(target))
	if _, err := os.ReadFile(view + "/cpu"); err != nil {
		t.Error(err)
	}

	n.mustUnpublish(target)
	n.mustUnpublish(target)
	n.plugin.Process.Signal(unix.SIGTERM)
	if err := n.plugin.Wait(); err != nil || exists(n.socket) {
		t.Errorf("the plugin ends with %v, and its socket stays: %v", err, exists(n.socket))
	}
	if !strings.Contains(n.said.String(), "shows /"+filepath.Base(c.path)) {
		t.Errorf("the log does not tell what was published: %s", &n.said)
	}
}

// TestCSIContainer has the volume of one container, which starts after it and is made again.
func TestCSIContainer(t *testing.T) {
	dir := mountDir(t, "cgroup2", "registry="+newRegistry(t))
	n := newCSINode(t, dir)
	pod := n.pod(newCgroup(t, dir))
	target := n.target("view")
	r := n.request(target)
	r.VolumeContext["container"] = "app"
	n.mustPublish(r)
	follower := newSidecar(t, target, "slave")
	defer n.mustUnpublish(target)
	if names, err := os.ReadDir(target + "/app"); err != nil || len(names) > 0 {
		t.Errorf("before the container starts: %v, %v", names, err)
	}
	n.log("my-app", "c")
	pod.child("cri-containerd-" + strings.Repeat("c", 64) + ".scope").sleep(1)
	for _, digit := range []string{"a", "b"} {
		container := pod.child(n.log("app", digit))
		work := container.sleep(1)
		n.mustPublish(r)
		n.mustPublish(r)
		text := follower.cat("app/processes")
		if !strings.Contains(text, fmt.Sprint(" ", work.Process.Pid, " ")) ||
			strings.Count(text, "\n") != 2 {
			t.Errorf("process %d of container %s: %s", work.Process.Pid, digit, text)
		}
		if m := n.mounts(); len(m) != 2 {
			t.Errorf("mounts: %v", m)
		}
		end(work)
		container.remove()
	}
	n.mustPublish(r)
	if names, err := os.ReadDir(target + "/app"); err != nil || len(names) > 0 {
		t.Errorf("after the container: %v, %v", names, err)
	}
	if code, why := n.publish(n.request(target)); code != codes.AlreadyExists ||
		!strings.Contains(why, `"app"`) {
		t.Errorf("publish the pod over its container: %v, %s", code, why)
	}
}

// TestCSILayouts finds pods of all classes, made by both of kubelet's drivers. One of them is made while
// kubelet waits for the volume.
func TestCSILayouts(t *testing.T) {
	dir := mountDir(t, "cgroup2", "registry="+newRegistry(t))
	n := newCSINode(t, dir)
	flat := strings.ReplaceAll(n.uid, "-", "_")
	for _, path := range []string{
		"kubepods.slice/kubepods-pod" + flat + ".slice",
		"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + flat + ".slice",
		"kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + flat + ".slice",
		"kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + flat + ".slice",
		"kubepods/pod" + n.uid,
		"kubepods/burstable/pod" + n.uid,
		"kubepods/besteffort/pod" + n.uid,
	} {
		t.Run(path, func(t *testing.T) {
			c := newCgroup(t, dir)
			code := make(chan codes.Code)
			target := n.target("view")
			go func() {
				got, _ := n.publish(n.request(target))
				for range 5 { // as kubelet does if the cgroup is late
					if got == codes.NotFound {
						got, _ = n.publish(n.request(target))
					}
				}
				code <- got
			}()
			for name := range strings.SplitSeq(path, "/") {
				c = c.child(name)
			}
			work := c.sleep(1)
			if got := <-code; got != codes.OK {
				t.Fatalf("publish: %v", got)
			}
			text := read(t, target+"/pod/tasks")
			if !strings.Contains(text, fmt.Sprint(" ", work.Process.Pid, " ")) {
				t.Errorf("no process %d: %s", work.Process.Pid, text)
			}
			n.mustUnpublish(target)
			end(work)
		})
	}
}

// TestCSIRefuses has one code for each wrong request, and nothing mounted after it.
func TestCSIRefuses(t *testing.T) {
	dir := mountDir(t, "cgroup2", "registry="+newRegistry(t))
	n := newCSINode(t, dir)
	n.pod(newCgroup(t, dir))
	outside := t.TempDir()
	if err := os.Symlink(outside, n.kubelet+"/pods/link"); err != nil {
		t.Fatal(err)
	}
	target := n.target("view")
	above := filepath.Dir(target)
	unknown := n.kubelet + "/pods/00000000-4c5f-4e0b-9d4e-2f1a7c3b5d60/mount"
	if err := os.Mkdir(filepath.Dir(unknown), 0o755); err != nil {
		t.Fatal(err)
	}
	with := func(change func(*csi.NodePublishVolumeRequest)) *csi.NodePublishVolumeRequest {
		r := n.request(target)
		change(r)
		return r
	}
	attribute := func(key, value string) *csi.NodePublishVolumeRequest {
		return with(func(r *csi.NodePublishVolumeRequest) { r.VolumeContext[key] = value })
	}
	at := func(path string) *csi.NodePublishVolumeRequest {
		return with(func(r *csi.NodePublishVolumeRequest) { r.TargetPath = path })
	}
	for what, tt := range map[string]struct {
		request *csi.NodePublishVolumeRequest
		code    codes.Code
		says    string
	}{
		"no id":         {with(func(r *csi.NodePublishVolumeRequest) { r.VolumeId = "" }), codes.InvalidArgument, "volume_id"},
		"no target":     {at(""), codes.InvalidArgument, "target_path"},
		"no capability": {with(func(r *csi.NodePublishVolumeRequest) { r.VolumeCapability = nil }), codes.InvalidArgument, "volume_capability"},
		"a block device": {with(func(r *csi.NodePublishVolumeRequest) {
			r.VolumeCapability.AccessType = &csi.VolumeCapability_Block{Block: &csi.VolumeCapability_BlockVolume{}}
		}), codes.InvalidArgument, "Filesystem"},
		"a filesystem": {with(func(r *csi.NodePublishVolumeRequest) { r.VolumeCapability.GetMount().FsType = "ext4" }),
			codes.InvalidArgument, "ext4"},
		"mount flags": {with(func(r *csi.NodePublishVolumeRequest) {
			r.VolumeCapability.GetMount().MountFlags = []string{"suid"}
		}), codes.InvalidArgument, "suid"},
		"no pod":               {attribute("csi.storage.k8s.io/pod.uid", ""), codes.InvalidArgument, "podInfoOnMount"},
		"a pod that is a path": {attribute("csi.storage.k8s.io/pod.uid", "../../../etc"), codes.InvalidArgument, "no uid"},
		"a persistent volume":  {attribute("csi.storage.k8s.io/ephemeral", "false"), codes.InvalidArgument, "inline"},
		"an unknown attribute": {attribute("containers", "app"), codes.InvalidArgument, `"containers"`},
		"a container's path":   {attribute("container", "../app"), codes.InvalidArgument, "no name"},
		"an empty container":   {attribute("container", ""), codes.InvalidArgument, "no name"},
		"an unknown pod": {with(func(r *csi.NodePublishVolumeRequest) {
			r.TargetPath = unknown
			r.VolumeContext["csi.storage.k8s.io/pod.uid"] = filepath.Base(filepath.Dir(unknown))
		}), codes.NotFound, "no such cgroup"},
		"a path elsewhere":      {at(outside + "/mount"), codes.InvalidArgument, "--root-dir"},
		"kubelet's directory":   {at(n.kubelet + "/pods"), codes.InvalidArgument, "--root-dir"},
		"a path with dots":      {at(n.kubelet + "/pods/../../mount"), codes.InvalidArgument, "--root-dir"},
		"a path through a link": {at(n.kubelet + "/pods/link/mount"), codes.InvalidArgument, "directories alone"},
		"no directory above":    {at(n.kubelet + "/pods/none/mount"), codes.FailedPrecondition, "no such file"},
	} {
		code, why := n.publish(tt.request)
		if code != tt.code || !strings.Contains(why, tt.says) || strings.Contains(why, "\n") {
			t.Errorf("%s: %v, %s; want %v, %s", what, code, why, tt.code, tt.says)
		}
		if left := n.mounts(); len(left) > 0 || exists(outside+"/mount") {
			t.Fatalf("%s leaves %v", what, left)
		}
	}

	for what, tt := range map[string]struct {
		prepare           func() (undo func() error, err error)
		publish, withdraw codes.Code
		says              string
	}{
		"a file in the target": {func() (func() error, error) {
			err := os.MkdirAll(target, 0o755)
			if err == nil {
				err = os.WriteFile(target+"/data", nil, 0o644)
			}
			return func() error { return os.RemoveAll(target) }, err
		}, codes.FailedPrecondition, codes.FailedPrecondition, "not empty"},
		"a file as the target": {func() (func() error, error) {
			return func() error { return os.Remove(target) }, os.WriteFile(target, nil, 0o644)
		}, codes.InvalidArgument, codes.InvalidArgument, "no directory"},
		"another mount": {func() (func() error, error) {
			err := os.MkdirAll(target, 0o755)
			if err == nil {
				err = unix.Mount("mine", target, "tmpfs", 0, "")
			}
			return func() error {
				if err := unix.Unmount(target, 0); err != nil {
					return err
				}
				return os.Remove(target)
			}, err
		}, codes.AlreadyExists, codes.FailedPrecondition, "mine"},
	} {
		undo, err := tt.prepare()
		if err != nil {
			t.Fatal(err)
		}
		before := len(n.mounts())
		code, why := n.publish(n.request(target))
		if code != tt.publish || !strings.Contains(why, tt.says) {
			t.Errorf("publish over %s: %v, %s; want %v, %s", what, code, why, tt.publish, tt.says)
		}
		code, why = n.unpublish(target)
		if code != tt.withdraw || !strings.Contains(why, tt.says) || len(n.mounts()) != before {
			t.Errorf("unpublish %s: %v, %s; want %v, %s", what, code, why, tt.withdraw, tt.says)
		}
		if err := undo(); err != nil {
			t.Fatalf("%s is not as it was: %v", what, err)
		}
	}

	for path, want := range map[string]codes.Code{
		"": codes.InvalidArgument, outside: codes.InvalidArgument, n.kubelet + "/pods/link/mount": codes.InvalidArgument,
		n.kubelet + "/pods": codes.InvalidArgument,
		target:              codes.OK, n.kubelet + "/pods/none/none/mount": codes.OK,
	} {
		if code, why := n.unpublish(path); code != want {
			t.Errorf("unpublish %q: %v, %s; want %v", path, code, why, want)
		}
	}

	// A bind of bpfviewfs at the target itself, dead or not, is one that this driver may replace.
	if err := os.MkdirAll(target, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(dir, target, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	n.mustPublish(n.request(target))
	if _, err := os.Stat(target + "/pod/cpu"); err != nil || len(n.mounts()) != 2 {
		t.Errorf("%v, %v", err, n.mounts())
	}
	n.mustUnpublish(target)

	if _, err := os.Stat(above); err != nil {
		t.Errorf("kubelet's own directory is gone: %v", err)
	}
	second := exec.Command(command, "csi", dir, "--endpoint=unix://"+n.socket, "--kubelet-dir="+n.kubelet)
	if code, _, stderr := call(t, second); code != 2 || !strings.Contains(stderr, "another plugin") {
		t.Errorf("a second plugin: %d, %s", code, stderr)
	}
	if fi, err := os.Stat(n.socket); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode of the socket: %v, %v", fi, err)
	}
	for _, args := range [][]string{{"--endpoint=tcp://:1"}, {"--endpoint=unix://x"}, {"--node=" + strings.Repeat("n", 257)}, {"--kubelet-dir=x"},
		{"--logs-dir=/x/../y"}} {
		if code, _, stderr := call(t, exec.Command(command, append([]string{"csi"}, args...)...)); code != 1 ||
			!strings.Contains(stderr, strings.Split(args[0], "=")[0]) {
			t.Errorf("%v: %d, %s", args, code, stderr)
		}
	}
}
