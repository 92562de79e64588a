package csi

import (
	"context"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubernetes-csi/csi-test/v5/pkg/sanity"
	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/onsi/gomega"
	"github.com/spf13/pflag"
)

// serve serves until the test is over, and returns the endpoint.
func serve(t *testing.T, change func(*Server)) (endpoint string) {
	t.Helper()
	work := t.TempDir()
	s := NewServer(pflag.NewFlagSet("", pflag.ContinueOnError), "test")
	s.Endpoint, s.Node, s.Kubelet, s.Logs = "unix://"+work+"/csi.sock", "here", work, work+"/logs"
	s.Mount, s.Infof, s.Warnf = work+"/bpfview", t.Logf, t.Logf
	if err := os.Mkdir(work+"/pods", 0o755); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(s)
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s.Endpoint
}

var sanityRan atomic.Bool

// TestSanity runs the tests of csi-test that are not about controllers. A driver that refuses all requests
// passes most of them, so the tests of the command say what this driver does.
func TestSanity(t *testing.T) {
	if sanityRan.Swap(true) {
		return // with -count: ginkgo runs its tests once a process
	}
	pods := ""
	config := sanity.NewTestConfig()
	config.Address = serve(t, func(s *Server) {
		pods = s.Kubelet + "/pods"
		s.Wait = 10 * time.Millisecond
	})
	config.TargetPath, config.StagingPath = pods+"/target", pods+"/staging"
	tests := sanity.GinkgoTest(&config)
	defer tests.Finalize()
	gomega.RegisterFailHandler(ginkgo.Fail)
	suite, reporter := ginkgo.GinkgoConfiguration()
	// This test makes a volume by a controller, and fails without one.
	suite.SkipStrings = append(suite.SkipStrings, "should remove target path",
		`\[Controller Server\]`, `\[GroupController Server\]`)
	passed := 0
	ginkgo.ReportAfterEach(func(r ginkgo.SpecReport) {
		if r.State == types.SpecStatePassed {
			passed++
		}
	})
	if !ginkgo.RunSpecs(t, "csi-test", suite, reporter) || passed < 9 {
		t.Errorf("%d tests passed", passed)
	}
}
