package main

import (
	"context"
	"os/signal"
	"syscall"

	"bpfviewfs/cmd/bpfviewfs/exporter"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
)

func exporterCommand(logs *logOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exporter [DIR]",
		Short: "serve the metrics of the mount at DIR over HTTP, for Prometheus",
		Long: `Serve .bpfview/textfile of DIR (/run/bpfview if not given), with labels that the cgroups' paths tell. A scrape has all
metrics, or is 503 with the reason, 400 if the query is wrong. It needs no privilege but a group that may read the views (gid= of the mount).`,
		Args: cobra.MaximumNArgs(1),
	}
	s := exporter.NewServer(cmd.Flags(), version)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		return service(logs, s.Check, func(ctx context.Context, log *logrus.Logger) error {
			s.Mount, s.Logf = append(args, "/run/bpfview")[0], log.Warnf
			return s.Serve(ctx, log.Infof)
		})
	}
	return cmd
}

// service runs a service whose flags are right, until the process is told to end.
func service(logs *logOptions, check func() error, serve func(context.Context, *logrus.Logger) error) error {
	log, err := logs.logger(false)
	if err != nil {
		return err
	}
	if err := check(); err != nil {
		return usageError("%w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return failed(serve(ctx, log))
}
