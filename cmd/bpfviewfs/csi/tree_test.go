package csi

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bpfviewfs/cmd/bpfviewfs/labels"
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
		for _, other := range []string{path, "/system.slice/ssh.service", "/kubepods.slice/kubepods-burstable.slice",
			"/kubepods/besteffort", "/0/kubepods", "/0/1/kubepods/x", "/kubepods/pod00000000-4c5f-4e0b-9d4e-2f1a7c3b5d60/" + strings.Repeat("0", 64)} {
			if err := os.MkdirAll(tr.mount+other, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(tr.mount+"/kubepods.slice/cpu", nil, 0o644); err != nil {
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
