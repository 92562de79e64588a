package main

import (
	"io"
	"log/syslog"

	"bpfviewfs/cmd/bpfviewfs/journal"
	"github.com/sirupsen/logrus"
	logsyslog "github.com/sirupsen/logrus/hooks/syslog"
)

// logOptions are the format and the level of the log.
type logOptions struct{ format, level string }

// logger logs to stderr. A server in the background has given its stderr back to the caller of mount(8), so
// it logs to syslog.
func (o logOptions) logger(background bool) (*logrus.Logger, error) {
	log := logrus.New()
	log.AddHook(journal.Plain{})
	if o.format == "json" {
		log.SetFormatter(&logrus.JSONFormatter{})
	}
	log.SetFormatter(journal.Formatter(log.Formatter))
	if o.level != "" {
		level, err := logrus.ParseLevel(o.level)
		if err != nil {
			return nil, usageError("--log-level %s: %v", o.level, err)
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
