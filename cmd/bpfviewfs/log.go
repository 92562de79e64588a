package main

import (
	"io"
	"log/syslog"

	"github.com/sirupsen/logrus"
	logsyslog "github.com/sirupsen/logrus/hooks/syslog"
	"github.com/spf13/pflag"
)

// logOptions say how to log.
type logOptions struct{ format, level string }

func logFlags(flags *pflag.FlagSet) *logOptions {
	var o logOptions
	flags.StringVar(&o.format, "log-format", "text", "log as `text` or json")
	flags.StringVar(&o.level, "log-level", "info", "log `level`: error, warning, info or debug")
	return &o
}

// logger logs to stderr, or to syslog where stderr leads nowhere: a server in the background has given its own back to
// whoever called mount(8).
func (o logOptions) logger(background bool) (*logrus.Logger, error) {
	log := logrus.New()
	switch o.format {
	case "", "text":
	case "json":
		log.SetFormatter(&logrus.JSONFormatter{})
	default:
		return nil, usageError("--log-format %s: want text or json", o.format)
	}
	if o.level != "" {
		level, err := logrus.ParseLevel(o.level)
		if err != nil {
			return nil, usageError("--log-level %s: want error, warning, info or debug", o.level)
		}
		log.SetLevel(level)
	}
	if background {
		log.SetOutput(io.Discard)
		// Without a syslog there is still .bpfview/errors.
		if hook, err := logsyslog.NewSyslogHook("", "", syslog.LOG_DAEMON, "bpfviewfs"); err == nil {
			log.AddHook(hook)
		}
	}
	return log, nil
}
