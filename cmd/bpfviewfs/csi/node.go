package csi

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"bpfviewfs/cmd/bpfviewfs/labels"
	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Keys of a volume's context. Kubelet adds those with a prefix, if CSIDriver has podInfoOnMount.
const (
	keyContainer = "container" // name of the container whose cgroup is wanted, in place of the pod's
	kubeletKeys  = "csi.storage.k8s.io/"
	keyPod       = kubeletKeys + "pod.uid"
	keyEphemeral = kubeletKeys + "ephemeral"
)

// podDirectory is the name of the directory of a volume that shows the pod.
const podDirectory = "pod"

// containerName is the form of a container's name (RFC 1123).
var containerName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// nodeService publishes volumes. Each failed call has one code:
//
//	InvalidArgument     the request is wrong, and will be for ever
//	NotFound            there is no such pod
//	AlreadyExists       something else is published at the target path
//	FailedPrecondition  the target path cannot be used as it is
//	Unavailable         bpfviewfs is not mounted, or the pod of a published volume is gone: try again
//	Aborted             another call about the volume is under way
//	Internal            the kernel refuses
type nodeService struct {
	csi.UnimplementedNodeServer
	name  string // of the node
	pods  string // directory of the targets
	tree  tree
	wait  time.Duration // for the cgroup of a new pod
	infof func(format string, args ...any)

	mu   sync.Mutex
	busy map[string]bool // target paths of calls under way
}

func (n *nodeService) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: n.name}, nil
}

func (n *nodeService) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (
	*csi.NodeGetCapabilitiesResponse, error) {
	return &csi.NodeGetCapabilitiesResponse{}, nil
}

// NodePublishVolume makes a volume, or mends the volume that is there.
func (n *nodeService) NodePublishVolume(ctx context.Context, r *csi.NodePublishVolumeRequest) (
	*csi.NodePublishVolumeResponse, error) {
	uid, container, err := wanted(r)
	if err != nil {
		return nil, err
	}
	unlock, err := n.lock(r.GetTargetPath())
	if err != nil {
		return nil, err
	}
	defer unlock()
	t, err := openTarget(n.pods, r.GetTargetPath())
	if err != nil {
		return nil, coded(err)
	}
	defer t.Close()
	if !t.of(uid) {
		return nil, status.Errorf(codes.InvalidArgument,
			"target path %.256q is not of the pod %s: CSIDriver %s needs podInfoOnMount: true",
			r.GetTargetPath(), uid, Name)
	}
	again := t.published()
	path, err := n.find(ctx, uid, container, again)
	if err != nil {
		if again && status.Code(coded(err)) == codes.NotFound {
			// To kubelet NotFound is final. It then forgets what it needs to unpublish the
			// volume.
			err = status.Errorf(codes.Unavailable, "the volume stays as it is: %s",
				status.Convert(err).Message())
		}
		return nil, coded(err)
	}
	view, name := noDir, podDirectory
	if container != "" {
		name = container
	}
	if path != "" {
		if view, err = openView(filepath.Join(n.tree.mount, path)); err != nil {
			return nil, coded(n.unavailable(err))
		}
		defer view.Close()
	}
	changed, err := t.publish(name, view)
	if err != nil {
		return nil, coded(err)
	}
	if changed {
		if path == "" {
			path = "nothing yet: container " + container + " does not run"
		}
		n.infof("volume %s at %s shows %s", r.GetVolumeId(), r.GetTargetPath(), path)
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

// NodeUnpublishVolume removes a volume and its target path.
func (n *nodeService) NodeUnpublishVolume(_ context.Context, r *csi.NodeUnpublishVolumeRequest) (
	*csi.NodeUnpublishVolumeResponse, error) {
	switch {
	case r.GetVolumeId() == "":
		return nil, status.Error(codes.InvalidArgument, "volume_id is missing")
	case r.GetTargetPath() == "":
		return nil, status.Error(codes.InvalidArgument, "target_path is missing")
	}
	unlock, err := n.lock(r.GetTargetPath())
	if err != nil {
		return nil, err
	}
	defer unlock()
	t, err := openTarget(n.pods, r.GetTargetPath())
	if errors.Is(err, os.ErrNotExist) {
		return &csi.NodeUnpublishVolumeResponse{}, nil
	} else if err != nil {
		return nil, coded(err)
	}
	defer t.Close()
	there := t.published()
	if err := t.unpublish(); err != nil {
		return nil, coded(err)
	}
	if there {
		n.infof("volume %s at %s is removed", r.GetVolumeId(), r.GetTargetPath())
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

// wanted returns the pod that a request names, and the container, or "". Its errors quote a part of long
// values, because their author is a pod's, and they are logged at each try.
func wanted(r *csi.NodePublishVolumeRequest) (uid, container string, err error) {
	attributes := r.GetVolumeContext()
	capability := r.GetVolumeCapability()
	no := func(format string, args ...any) (string, string, error) {
		return "", "", status.Errorf(codes.InvalidArgument, format, args...)
	}
	switch {
	case r.GetVolumeId() == "":
		return no("volume_id is missing")
	case r.GetTargetPath() == "":
		return no("target_path is missing")
	case capability == nil:
		return no("volume_capability is missing")
	case capability.GetMount() == nil:
		return no("this is no block device: want a volume of mode Filesystem")
	case capability.GetMount().GetFsType() != "":
		return no("fsType %.80q: the driver has no choice of filesystems",
			capability.GetMount().GetFsType())
	case len(capability.GetMount().GetMountFlags()) > 0:
		return no("mount flag %.80q: the driver takes none", capability.GetMount().GetMountFlags()[0])
	}
	for key := range attributes {
		if key != keyContainer && !strings.HasPrefix(key, kubeletKeys) {
			return no("volume attribute %.80q is unknown: there is %q alone", key, keyContainer)
		}
	}
	container, named := attributes[keyContainer]
	if named && !containerName.MatchString(container) {
		return no("volume attribute %s=%.80q is no name of a container", keyContainer, container)
	}
	switch uid = attributes[keyPod]; {
	case uid == "":
		return no("%s is missing: CSIDriver %s needs podInfoOnMount: true", keyPod, Name)
	case !labels.IsUID(uid):
		return no("%s=%.80q is no uid of a pod", keyPod, uid)
	case attributes[keyEphemeral] != "true":
		return no("this is no inline volume of a pod (%s=%.80q): the driver has no others",
			keyEphemeral, attributes[keyEphemeral])
	}
	return uid, container, nil
}

// find returns the path of the cgroup of a pod, or of its container; "" if the container does not run. The
// cgroup of a pod whose volume is new may not be there yet.
func (n *nodeService) find(ctx context.Context, uid, container string, again bool) (string, error) {
	if mounts, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(n.tree.mount)); err != nil {
		return "", err
	} else if !slices.ContainsFunc(mounts, func(m *mountinfo.Info) bool { return m.FSType == viewType }) {
		return "", n.unavailable(errors.New("it is not mounted"))
	}
	deadline := time.Now().Add(n.wait)
	for delay := 20 * time.Millisecond; ; delay *= 2 {
		pod, err := n.tree.pod(uid)
		switch {
		case err == nil && container != "":
			path, err := n.tree.container(pod, uid, container)
			if errors.Is(err, errGone) {
				return "", nil
			}
			return path, n.unavailable(err)
		case err == nil:
			return pod, nil
		case !errors.Is(err, errGone):
			return "", n.unavailable(err)
		case again || time.Now().Add(delay).After(deadline):
			return "", status.Error(codes.NotFound, err.Error())
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return "", status.FromContextError(ctx.Err()).Err()
		}
	}
}

// unavailable is the error that the mount of bpfviewfs cannot be read; nil of nil.
func (n *nodeService) unavailable(err error) error {
	if err == nil {
		return nil
	}
	return status.Errorf(codes.Unavailable,
		"bpfviewfs at %s: %v: bpfviewfs doctor, on the node, names the remedy", n.tree.mount, err)
}

// lock lets one call at a time work on a target path.
func (n *nodeService) lock(path string) (unlock func(), err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.busy[path] {
		return nil, status.Error(codes.Aborted, "another call about this target path is under way")
	}
	n.busy[path] = true
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.busy, path)
	}, nil
}

// coded gives an error a code for the caller, unless it has one.
func coded(err error) error {
	var has interface{ GRPCStatus() *status.Status }
	switch {
	case errors.As(err, &has):
		return has.GRPCStatus().Err()
	case errors.Is(err, os.ErrNotExist):
		return status.Error(codes.FailedPrecondition, err.Error())
	case errors.Is(err, unix.ENAMETOOLONG):
		return status.Errorf(codes.InvalidArgument, "target path: %v", unix.ENAMETOOLONG)
	case errors.Is(err, unix.EPERM):
		return status.Errorf(codes.Internal, "%v: the plugin needs CAP_SYS_ADMIN", err)
	}
	return status.Error(codes.Internal, err.Error())
}
