package main

import (
	"fmt"
	"io"
	"log/syslog"
	"os"
	"strings"

	"bpfviewfs/internal/plain"
	"github.com/sirupsen/logrus"
	logsyslog "github.com/sirupsen/logrus/hooks/syslog"
	"golang.org/x/sys/unix"
)

// logOptions are the format and the level of the log.
type logOptions struct{ format, level string }

// logger logs to stderr. A server in the background has given its stderr back to the caller of mount(8), so
// it logs to syslog.
func (o logOptions) logger(background bool) (*logrus.Logger, error) {
	log := logrus.New()
	log.AddHook(plainHook{})
	if o.format == "json" {
		log.SetFormatter(&logrus.JSONFormatter{})
	}
	if toJournal() {
		log.SetFormatter(&prioritized{log.Formatter})
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

// toJournal reports whether stderr leads to the journal, which systemd tells by its device and inode number
// (JOURNAL_STREAM in systemd.exec(5)).
func toJournal() bool {
	var st unix.Stat_t
	return unix.Fstat(int(os.Stderr.Fd()), &st) == nil &&
		os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// priority is a prefix that the journal takes for a line's priority (sd-daemon(3)), or nothing if stderr is
// not the journal.
func priority(level syslog.Priority) string {
	if !toJournal() {
		return ""
	}
	return fmt.Sprintf("<%d>", level)
}

// prioritized puts the priority in front of each line of another formatter.
type prioritized struct{ logrus.Formatter }

func (p *prioritized) Format(e *logrus.Entry) ([]byte, error) {
	text, err := p.Formatter.Format(e)
	level := syslog.LOG_DEBUG
	switch e.Level {
	case logrus.PanicLevel, logrus.FatalLevel:
		level = syslog.LOG_CRIT
	case logrus.ErrorLevel:
		level = syslog.LOG_ERR
	case logrus.WarnLevel:
		level = syslog.LOG_WARNING
	case logrus.InfoLevel:
		level = syslog.LOG_INFO
	}
	mark := fmt.Sprintf("<%d>", level)
	return []byte(mark + strings.ReplaceAll(strings.TrimSuffix(string(text), "\n"), "\n",
		"\n"+mark) + "\n"), err
}

// plainHook keeps messages on one line that cannot act on a terminal. Hooks are called in the order in which
// they were added, so that of syslog gets the same.
type plainHook struct{}

func (plainHook) Levels() []logrus.Level { return logrus.AllLevels }

func (plainHook) Fire(entry *logrus.Entry) error {
	entry.Message = plain.Line(entry.Message)
	return nil
}
