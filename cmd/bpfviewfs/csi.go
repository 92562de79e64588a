package main

import (
	"context"

	"bpfviewfs/cmd/bpfviewfs/csi"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
)

func csiCommand(logs *logOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "csi [DIR]",
		Short: "give pods of Kubernetes their own directory of the mount as a volume",
		Long: `Serve the Container Storage Interface on a node of Kubernetes. A pod with an inline volume of the
driver bpfviewfs gets the directory of its own cgroup in DIR (/run/bpfview if not given), or of one of its
containers, and nothing else. It needs CAP_SYS_ADMIN, to mount.`,
		Args: cobra.MaximumNArgs(1),
	}
	s := csi.NewServer(cmd.Flags(), version)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		return service(logs, s.Check, func(ctx context.Context, log *logrus.Logger) error {
			if err := csi.GiveUp(); err != nil {
				log.Warnf("going on with all capabilities: %v", err)
			}
			s.Mount, s.Infof, s.Warnf = append(args, "/run/bpfview")[0], log.Infof, log.Warnf
			return s.Serve(ctx)
		})
	}
	return cmd
}
