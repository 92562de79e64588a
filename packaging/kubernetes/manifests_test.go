// Package kubernetes has manifests. Its tests read them as the API server does.
package kubernetes

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bpfviewfs/cmd/bpfviewfs/csi"
	"bpfviewfs/internal/testenv"
	"github.com/spf13/pflag"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

// decode decodes each document of the text as the API server does that validates strictly. Unknown, misspelt
// and repeated fields are errors.
func decode(text []byte) (objects []runtime.Object, err error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, corev1.AddToScheme, storagev1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		object, _, err := decoder.Decode(document, nil, nil)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", len(objects)+1, err)
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// find returns the object of a type in a file.
func find[T runtime.Object](t *testing.T, file string) (object T) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := decode(text)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for _, o := range objects {
		if o, ok := o.(T); ok {
			return o
		}
	}
	t.Fatalf("%s has no %T", file, object)
	return object
}

// TestStrict holds that each manifest is as the API has it, and that the decoder would tell.
func TestStrict(t *testing.T) {
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if file == "kustomization.yaml" { // no object of the API server; TestKustomize reads it
			continue
		}
		if _, err := decode(text); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		for _, fault := range [][2]string{{"hostPath", "hostpath"}, {", mountPropagation", ", mountpropagation"},
			{"podInfoOnMount", "podInfoOnmount"}, {"metadata:", "metadata: {}\nmetadata:"}} {
			wrong := strings.Replace(string(text), fault[0], fault[1], 1)
			if _, err := decode([]byte(wrong)); err == nil && wrong != string(text) {
				t.Errorf("%s: %s in place of %s is no error", file, fault[1], fault[0])
			}
		}
	}
}

// TestDaemonSet checks rules of the API server that no decoder knows, and the flags of the plugin.
func TestDaemonSet(t *testing.T) {
	set := find[*appsv1.DaemonSet](t, "daemonset.yaml")
	pod := set.Spec.Template.Spec
	for key, value := range set.Spec.Selector.MatchLabels {
		if set.Spec.Template.Labels[key] != value {
			t.Errorf("the selector's %s=%s is no label of the pods", key, value)
		}
	}
	if pod.HostPID || pod.HostNetwork || pod.HostIPC || *pod.AutomountServiceAccountToken {
		t.Error("the pod has more of its host than it needs")
	}
	volumes := make(map[string]*corev1.HostPathVolumeSource)
	for _, v := range pod.Volumes {
		volumes[v.Name] = v.HostPath
	}
	privileged := 0
	for _, c := range pod.Containers {
		limits := c.Resources.Limits
		if limits.Memory().IsZero() || c.Resources.Requests.Memory().Cmp(*limits.Memory()) > 0 {
			t.Errorf("%s: limits of memory: %v", c.Name, c.Resources)
		}
		security := c.SecurityContext
		isPrivileged := security.Privileged != nil && *security.Privileged
		if isPrivileged {
			privileged++
		} else if *security.AllowPrivilegeEscalation || !slices.Contains(security.Capabilities.Drop, "ALL") {
			t.Errorf("%s: security: %+v", c.Name, security)
		}
		if !*security.ReadOnlyRootFilesystem {
			t.Errorf("%s can write to its image", c.Name)
		}
		for _, m := range c.VolumeMounts {
			if volumes[m.Name] == nil {
				t.Errorf("%s: there is no volume %s", c.Name, m.Name)
			}
			if p := m.MountPropagation; p != nil && *p == corev1.MountPropagationBidirectional && !isPrivileged {
				t.Errorf("%s: %s is Bidirectional, which only a privileged container may have", c.Name, m.Name)
			}
		}
	}
	if privileged != 1 {
		t.Errorf("%d privileged containers", privileged)
	}

	plugin := pod.Containers[0]
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	server := csi.NewServer(flags, "")
	if err := flags.Parse(plugin.Args); err != nil {
		t.Fatal(err)
	}
	if err := server.Check(); err != nil {
		t.Error(err)
	}
	if words := flags.Args(); len(words) != 2 || words[0] != "csi" || !within(plugin, words[1], "HostToContainer") {
		t.Errorf("the mount of bpfviewfs: %v", words)
	}
	if !within(plugin, server.Kubelet+"/pods", "Bidirectional") || !within(plugin, server.Logs, "") ||
		!within(plugin, strings.TrimPrefix(server.Endpoint, "unix://"), "") {
		t.Errorf("the container lacks a directory that its flags name: %+v", plugin.VolumeMounts)
	}
	registered := volumes["plugin"].Path + strings.TrimPrefix(server.Endpoint, "unix:///csi")
	if args := pod.Containers[1].Args; !slices.Contains(args, "--kubelet-registration-path="+registered) {
		t.Errorf("kubelet finds the socket at %s: %v", registered, args)
	}
	if driver := find[*storagev1.CSIDriver](t, "csidriver.yaml"); driver.Name != csi.Name ||
		!*driver.Spec.PodInfoOnMount || !*driver.Spec.RequiresRepublish || *driver.Spec.AttachRequired ||
		!slices.Equal(driver.Spec.VolumeLifecycleModes, []storagev1.VolumeLifecycleMode{storagev1.VolumeLifecycleEphemeral}) {
		t.Errorf("CSIDriver: %+v", driver)
	}
	if example := find[*corev1.Pod](t, "example-pod.yaml"); example.Spec.Volumes[0].CSI.Driver != csi.Name {
		t.Errorf("the example's volume: %+v", example.Spec.Volumes[0])
	}
}

// within reports whether a path is in a volume of the container, with this propagation.
func within(c corev1.Container, path string, propagation corev1.MountPropagationMode) bool {
	return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
		has := corev1.MountPropagationMode("")
		if m.MountPropagation != nil {
			has = *m.MountPropagation
		}
		return (path == m.MountPath || strings.HasPrefix(path, m.MountPath+"/")) && has == propagation
	})
}

// TestKustomize builds the base, and an overlay as docs/kubernetes.md has it.
func TestKustomize(t *testing.T) {
	testenv.Needs(t, "kubectl")
	build := func(dir string) []runtime.Object {
		t.Helper()
		cmd := exec.Command("kubectl", "kustomize", dir)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		objects, err := decode(out)
		if err != nil {
			t.Fatal(err)
		}
		return objects
	}
	if objects := build("."); len(objects) != 4 {
		t.Errorf("the base has %d objects", len(objects))
	}
	text, err := os.ReadFile("../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	_, overlay, _ := strings.Cut(string(text), "```yaml\n# kustomization.yaml\n")
	overlay, _, found := strings.Cut(overlay, "```")
	if !found {
		t.Fatal("docs/kubernetes.md has no overlay")
	}
	// kubectl names its kustomize since 1.24. That of Debian 12 is 1.20, which takes a directory as a
	// base alone.
	version, err := exec.Command("kubectl", "version", "--client").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(version, []byte("Kustomize")) {
		overlay = strings.Replace(overlay, "\nresources:", "\nbases:", 1)
	}
	work := t.TempDir()
	if err := os.CopyFS(work+"/bpfviewfs/packaging/kubernetes", os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(work+"/overlay", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(work+"/overlay/kustomization.yaml", []byte(overlay), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, object := range build(work + "/overlay") {
		set, ok := object.(*appsv1.DaemonSet)
		if !ok {
			continue
		}
		for _, c := range set.Spec.Template.Spec.Containers {
			if !strings.HasPrefix(c.Image, "registry.example/") || strings.HasSuffix(c.Image, "VERSION") {
				t.Errorf("the overlay leaves the image %s", c.Image)
			}
		}
		return
	}
	t.Error("the overlay has no DaemonSet")
}
