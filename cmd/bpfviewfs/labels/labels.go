// Package labels finds the systemd slice and unit, the pod and the container of a cgroup by its path. It asks
// no container runtime, so it knows only the parts of paths that the runtimes and kubelet write.
// testdata/paths.txt has the paths that it knows.
package labels

import "strings"

// Labels are found in a path; "" is not known. They name units of the host. The cgroups of a systemd inside a
// container have the labels of the container.
type Labels struct {
	Slice       string // the innermost slice on the host, for example system.slice
	Unit        string // the innermost service or scope on the host that is no container
	PodUID      string // of a Kubernetes pod, with dashes as kubelet's API has it
	QoS         string // of the pod: guaranteed, burstable or besteffort
	ContainerID string // as the runtime has it; of LXC and nspawn the name
	Runtime     string // docker, containerd, cri-o, podman, lxc, nspawn, runc or crun
	User        string // number of the user of the slice; all other labels may be that user's choice
}

// scopes are the names of containers' cgroups: PREFIX ID SUFFIX. The cgroupfs driver leaves the suffix out.
var scopes = []struct {
	prefix, suffix string
	named          bool // the id is a name that a person gave
	runtime        string
}{
	{"cri-containerd-", ".scope", false, "containerd"},
	{"nerdctl-", ".scope", false, "containerd"},
	{"docker-", ".scope", false, "docker"},
	{"crio-", ".scope", false, "cri-o"},
	{"libpod-", ".scope", false, "podman"},
	{"lxc.payload.", "", true, "lxc"},
	{"systemd-nspawn@", ".service", true, "nspawn"},
	{"runc-", ".scope", true, "runc"},
	{"crun-", ".scope", true, "crun"},
}

// Of tells the labels of a cgroup's path, which begins with a slash at the top of the hierarchy.
func Of(path string) (l Labels) {
	names := strings.Split(strings.Trim(path, "/"), "/")
	if len(names) > 1 && names[0] == "user.slice" {
		l.User = user(names[1])
	}
	for i, name := range names {
		parent := ""
		if i > 0 {
			parent = names[i-1]
		}
		if id, runtime := container(path, parent, name, l.PodUID != ""); id != "" {
			l.ContainerID, l.Runtime = id, runtime
			continue
		}
		if uid, qos := pod(names[:i], name); uid != "" {
			// A pod on a node that is a container itself: the id is the node's.
			l.PodUID, l.QoS, l.ContainerID, l.Runtime = uid, qos, "", ""
		}
		if l.ContainerID != "" {
			continue
		}
		switch {
		case strings.HasSuffix(name, ".slice"):
			l.Slice, l.Unit = name, ""
		case strings.HasSuffix(name, ".service"), strings.HasSuffix(name, ".scope"):
			l.Unit = name
		}
	}
	return l
}

// user tells the number of a user from the name of a slice, which systemd alone makes.
func user(name string) string {
	number, begins := strings.CutPrefix(name, "user-")
	number, ends := strings.CutSuffix(number, ".slice")
	if !begins || !ends || strings.Trim(number, "0123456789") != "" {
		return ""
	}
	return number
}

// container tells the id of a container from the name of its cgroup, "" if it is none.
func container(path, parent, name string, inPod bool) (id, runtime string) {
	for _, s := range scopes {
		id, ok := strings.CutPrefix(name, s.prefix)
		if !ok {
			continue
		}
		id, whole := strings.CutSuffix(id, s.suffix)
		if s.named && whole && id != "" || isID(id) {
			return unescape(id), s.runtime
		}
	}
	if machine, ok := strings.CutPrefix(name, "machine-"); ok && parent == "machine.slice" {
		// Libvirt's domains are machines, too.
		virtual := strings.HasPrefix(machine, `qemu\x2d`) || strings.HasPrefix(machine, `lxc\x2d`)
		if machine, ok := strings.CutSuffix(machine, ".scope"); ok && !virtual {
			return unescape(machine), "nspawn"
		}
	}
	switch {
	case parent == "lxc":
		return name, "lxc"
	case !isID(name): // from here on the name is the id alone
		return "", ""
	case parent == "docker":
		return name, "docker"
	case inPod: // kubelet's cgroupfs driver names no runtime
		return name, ""
	case strings.HasPrefix(path, "/default/"), strings.HasPrefix(path, "/k8s.io/"): // namespaces of containerd
		return name, "containerd"
	}
	return "", ""
}

// isID reports whether the text is 64 hexadecimal digits, which are the usual id of a container.
func isID(text string) bool { return len(text) == 64 && strings.Trim(text, "0123456789abcdef") == "" }

// IsUID reports whether the text is the uid of a pod. That is a UUID, or a hash for a static pod.
func IsUID(text string) bool {
	return (len(text) == 36 || len(text) == 32) && strings.Trim(text, "0123456789abcdef-") == ""
}

// pod tells the uid and the class of a pod from the name of its cgroup and the names above it.
func pod(above []string, name string) (uid, qos string) {
	if slice, ok := strings.CutSuffix(name, ".slice"); ok {
		before, after, ok := strings.Cut(slice, "-pod")
		parts := strings.Split(before, "-") // of the slices above
		if qos = parts[len(parts)-1]; isClass(qos) && len(parts) > 1 {
			parts = parts[:len(parts)-1]
		} else {
			qos = "guaranteed"
		}
		// Systemd takes a dash for a level of slices, so kubelet writes another sign.
		if uid = strings.ReplaceAll(after, "_", "-"); ok && parts[len(parts)-1] == "kubepods" &&
			IsUID(uid) {
			return uid, qos
		}
		return "", ""
	}
	uid, ok := strings.CutPrefix(name, "pod")
	if !ok || !IsUID(uid) || len(above) == 0 {
		return "", ""
	}
	switch last := above[len(above)-1]; {
	case last == "kubepods":
		return uid, "guaranteed"
	case isClass(last) && len(above) > 1 && above[len(above)-2] == "kubepods":
		return uid, last
	}
	return "", ""
}

// isClass reports whether a class of pods has cgroups of its own.
func isClass(qos string) bool { return qos == "burstable" || qos == "besteffort" }

// unescape undoes systemd's escape of a dash in the name of a unit.
func unescape(name string) string { return strings.ReplaceAll(name, `\x2d`, "-") }

// Names are the names of all labels.
var Names = []string{"container_id", "pod_uid", "qos", "runtime", "slice", "unit", "user"}

// Each calls add for the labels that are known, in the order of their names.
func (l Labels) Each(add func(name, value string)) {
	all := [...]string{l.ContainerID, l.PodUID, l.QoS, l.Runtime, l.Slice, l.Unit, l.User}
	for i, value := range all {
		if value != "" {
			add(Names[i], value)
		}
	}
}
