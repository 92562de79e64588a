package main

import (
	"fmt"
	"io"
	"log/syslog"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"
	logsyslog "github.com/sirupsen/logrus/hooks/syslog"
	"github.com/spf13/pflag"
)

// logOptions are the format and the level of the log.
type logOptions struct{ format, level string }

func logFlags(flags *pflag.FlagSet) *logOptions {
	o := logOptions{"text", "info"}
	flags.Var(&choice{&o.format, []string{"text", "json"}}, "log-format", "log as `text` or json")
	flags.Var(&choice{&o.level, []string{"error", "warning", "info", "debug"}}, "log-level",
		"log `level`: error, warning, info or debug")
	return &o
}

// choice is the value of a flag that is one of a few words.
type choice struct {
	value *string
	words []string
}

func (c *choice) String() string { return *c.value }
func (c *choice) Type() string   { return "string" }

func (c *choice) Set(word string) error {
	if !slices.Contains(c.words, word) {
		return fmt.Errorf("want %s", strings.Join(c.words, " or "))
	}
	*c.value = word
	return nil
}

// logger logs to stderr. A server in the background has given its stderr back to the caller of mount(8), so
// it logs to syslog.
func (o logOptions) logger(background bool) (*logrus.Logger, error) {
	log := logrus.New()
	if o.format == "json" {
		log.SetFormatter(&logrus.JSONFormatter{})
	}
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
