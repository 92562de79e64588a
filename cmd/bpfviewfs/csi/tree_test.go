package csi

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bpfviewfs/cmd/bpfviewfs/labels"
	"bpfviewfs/internal/testenv"
)

// TestTree finds each pod and container of the table of paths that labels has.
func TestTree(t *testing.T) {
	text, err := os.ReadFile("../labels/testdata/paths.txt")
	if err != nil {
		t.Fatal(err)
	}
	pods := 0
	for line := range strings.Lines(string(text)) {
		path, _, found := strings.Cut(line, "\t")
		l := labels.Of(path)
		if !found || l.PodUID == "" {
			continue
		}
		pods++
		tr := tree{mount: t.TempDir(), logs: t.TempDir()}
		others := []string{path, "/system.slice/ssh.service"}
		// Outside of a node that is a container there is no kubelet.
		if labels.Of(path[:strings.Index(path, "/kube")+1]).ContainerID == "" {
			others = append(others, "/kubepods.slice/kubepods-burstable.slice", "/kubepods/besteffort",
				"/0/kubepods", "/0/1/kubepods/x",
				"/kubepods/pod00000000-4c5f-4e0b-9d4e-2f1a7c3b5d60/"+strings.Repeat("0", 64))
		}
		for _, other := range others {
			if err := os.MkdirAll(tr.mount+other, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(tr.mount+"/system.slice/cpu", nil, 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := tr.pod(l.PodUID)
		if err != nil || labels.Of(got).PodUID != l.PodUID || labels.Of(filepath.Dir(got)).PodUID != "" ||
			!strings.HasPrefix(path, got) {
			t.Errorf("pod of %s: %s, %v", path, got, err)
		}
		if none, err := tr.pod("11111111-4c5f-4e0b-9d4e-2f1a7c3b5d60"); !errors.Is(err, errGone) {
			t.Errorf("a pod that is not there: %s, %v", none, err)
		}
		if l.ContainerID == "" {
			continue
		}
		if none, err := tr.container(got, l.PodUID, "app"); !errors.Is(err, errGone) {
			t.Errorf("a container without a log: %s, %v", none, err)
		}
		for link, log := range map[string]string{
			"web_shop_app-" + l.ContainerID:            "shop_web_" + l.PodUID + "/app/1.log",
			"web_shop_app-" + strings.Repeat("9", 64):  "shop_web_" + l.PodUID + "/app/0.log",
			"web_shop_my-app-" + l.ContainerID:         "shop_web_" + l.PodUID + "/my-app/0.log",
			"web_shop_side-" + strings.Repeat("0", 64): "shop_web_" + l.PodUID + "/side/0.log",
			"web_shop_app2-" + l.ContainerID:           "shop_web_another/app2/0.log",
		} {
			if err := os.Symlink("/var/log/pods/"+log, tr.logs+"/"+link+".log"); err != nil {
				t.Fatal(err)
			}
		}
		inside, err := tr.container(got, l.PodUID, "app")
		if err != nil || labels.Of(inside).ContainerID != l.ContainerID || !strings.HasPrefix(path, inside) {
			t.Errorf("container of %s: %s, %v", path, inside, err)
		}
		for _, name := range []string{"side", "app2", "p"} {
			if none, err := tr.container(got, l.PodUID, name); !errors.Is(err, errGone) {
				t.Errorf("container %s: %s, %v", name, none, err)
			}
		}
	}
	if pods < 15 {
		t.Errorf("the table has %d pods", pods)
	}
	deep := tree{mount: t.TempDir()}
	want := "/1/kubepods/podd9ab7c1e-4c5f-4e0b-9d4e-2f1a7c3b5d60"
	for _, dir := range []string{"/0/kubepods/burstable", "/0/1/x-kubepods.slice", "/2/3", want} {
		if err := os.MkdirAll(deep.mount+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := deep.pod(want[len("/1/kubepods/pod"):]); got != want {
		t.Errorf("a pod beside other directories of kubelets: %s, %v", got, err)
	}
	if _, err := (tree{mount: t.TempDir() + "/none"}).pod("x"); err == nil || errors.Is(err, errGone) {
		t.Errorf("without a mount: %v", err)
	}
}

// TestForgedPods has cgroups with the name of a pod that is not there, where users can make them.
func TestForgedPods(t *testing.T) {
	testenv.NeedsRoot(t) // chown
	const uid = "d9ab7c1e-4c5f-4e0b-9d4e-2f1a7c3b5d60"
	id := strings.Repeat("1", 64)
	for what, forged := range map[string]struct {
		path, theirs string
		mode         os.FileMode
		owner        int
		also         string
	}{
		"a user's": {"/user.slice/user-1000.slice/user@1000.service/kubepods/pod" + uid,
			"/user.slice/user-1000.slice/user@1000.service", 0o755, 1000, ""},
		"a user's, deep": {"/user.slice/user@1000.service/a/b.slice/b-kubepods.slice/b-kubepods-pod" +
			strings.ReplaceAll(uid, "-", "_") + ".slice", "/user.slice/user@1000.service", 0o755, 1000, ""},
		"at the top":         {"/kubepods/pod" + uid, "/", 0o755, 1000, ""},
		"beside pods":        {"/kubepods/pod" + uid, "/kubepods", 0o755, 1000, ""},
		"a group's":          {"/a/kubepods/pod" + uid, "/a", 0o775, 0, ""},
		"everybody's":        {"/kubepods/burstable/pod" + uid, "/kubepods/burstable", 0o757, 0, ""},
		"of a container":     {"/docker/" + id + "/kubepods/pod" + uid, "", 0, 0, "/kubepods"},
		"of a podman's":      {"/machine.slice/libpod-" + id + ".scope/x/kubepods/pod" + uid, "", 0, 0, "/0/kubelet/kubepods"},
		"of another pod":     {"/kubepods/pod" + strings.Repeat("0", 36) + "/" + id + "/kubepods/pod" + uid, "", 0, 0, ""},
		"below a user's own": {"/u/kubepods/pod" + uid, "/u", 0o700, 1000, "/kubepods"},
	} {
		tr := tree{mount: t.TempDir(), logs: t.TempDir()}
		for _, dir := range []string{forged.path, forged.also} {
			if err := os.MkdirAll(tr.mount+dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if forged.theirs == "" && forged.also != "" { // it would be found
			if got, err := (tree{mount: tr.mount}).pod(uid); !errors.Is(err, errGone) {
				t.Errorf("%s: %s, %v", what, got, err)
			}
			if err := os.RemoveAll(tr.mount + forged.also); err != nil {
				t.Fatal(err)
			}
		}
		got, err := tr.pod(uid)
		if found := what != "of another pod"; found != (got == forged.path) || !found && !errors.Is(err, errGone) {
			t.Errorf("%s, by root: %s, %v", what, got, err)
		}
		if forged.theirs == "" {
			continue
		}
		if err := errors.Join(os.Chown(tr.mount+forged.theirs, forged.owner, 0),
			os.Chmod(tr.mount+forged.theirs, forged.mode)); err != nil {
			t.Fatal(err)
		}
		got, err = tr.pod(uid)
		if !errors.Is(err, errGone) || !strings.Contains(err.Error(), "others than root") {
			t.Errorf("%s: %s, %v", what, got, err)
		}
	}

	// A pod may belong to another user. That user may then name containers.
	tr := tree{mount: t.TempDir(), logs: t.TempDir()}
	pod := "/kubepods/pod" + uid
	if err := os.MkdirAll(tr.mount+pod+"/"+id, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/var/log/pods/shop_web_"+uid+"/app/0.log", tr.logs+"/web_shop_app-"+id+".log"); err != nil {
		t.Fatal(err)
	}
	if got, err := tr.container(pod, uid, "app"); got != pod+"/"+id {
		t.Errorf("a container: %s, %v", got, err)
	}
	if err := os.Chown(tr.mount+pod, 1000, 0); err != nil {
		t.Fatal(err)
	}
	if got, err := tr.pod(uid); got != pod {
		t.Errorf("a pod that belongs to a user: %s, %v", got, err)
	}
	if got, err := tr.container(pod, uid, "app"); !errors.Is(err, errGone) {
		t.Errorf("a container of a pod that belongs to a user: %s, %v", got, err)
	}
}
