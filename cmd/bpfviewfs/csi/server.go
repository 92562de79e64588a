// Package csi is a node plugin of the Container Storage Interface. It gives a pod of Kubernetes a volume with
// the directory of its own cgroup, or of one of its containers, and no other.
//
// All state is in the kernel. A volume is two mounts, which the plugin finds again by their place. So a
// plugin may be killed at any time, and the next one goes on.
package csi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bpfviewfs/internal/panics"
	"bpfviewfs/internal/plain"
	"bpfviewfs/internal/realpath"
	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Name is the name of the driver, in pods and in the object CSIDriver.
const Name = "bpfviewfs"

// Server says what a plugin serves, and where.
type Server struct {
	Endpoint string // unix:PATH or unix:///PATH
	Node     string // name of the node, as the cluster has it; "" is the host's name
	Kubelet  string // kubelet's directory; volumes are below pods in it
	Logs     string // kubelet's links to the logs of containers, which tell the names of containers
	Mount    string // a mount of bpfviewfs
	Version  string // of the plugin

	Wait  time.Duration // time for the cgroup of a new pod to appear
	Infof func(format string, args ...any)
	Warnf func(format string, args ...any)
}

// NewServer makes a server of the flags, which it adds.
func NewServer(flags *pflag.FlagSet, version string) *Server {
	s := &Server{Version: version, Wait: 2 * time.Second}
	flags.StringVar(&s.Endpoint, "endpoint", "unix:///csi/csi.sock", "`socket` to listen on")
	flags.StringVar(&s.Node, "node", "", "`name` of the node; the host's name if not given")
	flags.StringVar(&s.Kubelet, "kubelet-dir", "/var/lib/kubelet",
		"kubelet's `directory`, at the path that kubelet has it; volumes are made below pods in it")
	flags.StringVar(&s.Logs, "logs-dir", "/var/log/containers",
		"`directory` of kubelet's links to logs, for volumes of one container")
	return s
}

// Check finds faults of the server before it listens.
func (s *Server) Check() error {
	if _, err := s.socket(); err != nil {
		return err
	}
	if len(s.Node) > 256 { // as the specification has it
		return fmt.Errorf("--node %q: want at most 256 bytes", s.Node)
	}
	for flag, dir := range map[string]string{"--kubelet-dir": s.Kubelet, "--logs-dir": s.Logs} {
		if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir {
			return fmt.Errorf("%s %q: want an absolute path, without .. or / at its end",
				flag, dir)
		}
	}
	return nil
}

// socket is the path of the endpoint.
func (s *Server) socket() (string, error) {
	path, ok := strings.CutPrefix(s.Endpoint, "unix:")
	if path = strings.Replace(path, "//", "", 1); !ok || !filepath.IsAbs(path) {
		return "", fmt.Errorf("--endpoint %q: want unix:///PATH", s.Endpoint)
	}
	return path, nil
}

// Serve serves until the context is done. Then it answers calls that are under way, for 5 s at most.
func (s *Server) Serve(ctx context.Context) error {
	name := s.Node
	if name == "" {
		var err error
		if name, err = os.Hostname(); err != nil {
			return fmt.Errorf("find the host's name, for want of --node: %w", err)
		}
	}
	pods := filepath.Join(s.Kubelet, "pods")
	if err := shared(realpath.Of(pods)); err != nil {
		s.Warnf("%v", err)
	}
	listener, err := s.listen()
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(s.intercept))
	csi.RegisterIdentityServer(server, identity{version: s.Version})
	csi.RegisterNodeServer(server, &nodeService{
		name: name, pods: pods, wait: s.Wait, infof: s.Infof,
		tree: tree{mount: realpath.Of(s.Mount), logs: s.Logs},
		busy: make(map[string]bool),
	})
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		late := time.AfterFunc(5*time.Second, server.Stop)
		defer late.Stop()
		server.GracefulStop()
	})
	s.Infof("serving volumes of %s below %s at %s", s.Mount, pods, s.Endpoint)
	err = server.Serve(listener)
	if !stop() {
		<-ended
		return nil
	}
	return err
}

// listen listens on the endpoint, for root alone. It replaces the socket of a plugin that has ended.
func (s *Server) listen() (net.Listener, error) {
	path, err := s.socket()
	if err != nil {
		return nil, err
	}
	if old, err := net.Dial("unix", path); err == nil {
		old.Close()
		return nil, fmt.Errorf("listen on %s: another plugin serves there", path)
	} else if errors.Is(err, unix.ECONNREFUSED) {
		if fi, err := os.Lstat(path); err != nil || fi.Mode().Type() != os.ModeSocket {
			return nil, fmt.Errorf("listen on %s: it is there, and no socket", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("replace the socket of a plugin that has ended: %w", err)
		}
	}
	mask := unix.Umask(0o177) // the socket never has another mode
	listener, err := net.Listen("unix", path)
	unix.Umask(mask)
	if err != nil {
		return nil, fmt.Errorf("%w: is its directory mounted?", err)
	}
	return listener, nil
}

// intercept logs calls that fail, and answers a panic as an error.
func (s *Server) intercept(ctx context.Context, request any, info *grpc.UnaryServerInfo,
	handle grpc.UnaryHandler) (answer any, err error) {
	defer func() {
		if why := recover(); why != nil {
			err = status.Errorf(codes.Internal, "panic in %s: %v", panics.Place(), why)
		}
		if err != nil {
			what := filepath.Base(info.FullMethod)
			if v, ok := request.(interface{ GetVolumeId() string }); ok {
				what += " of " + plain.Line(v.GetVolumeId())
			}
			s.Warnf("%s: %v: %s", what, status.Code(err), status.Convert(err).Message())
		}
	}()
	return handle(ctx, request)
}
