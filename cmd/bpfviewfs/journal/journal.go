// Package journal gives lines on stderr the priorities that the journal of systemd understands.
package journal

import (
	"fmt"
	"log/syslog"
	"os"
	"strings"

	"bpfviewfs/internal/plain"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// toJournal reports whether stderr leads to the journal, which systemd tells by its device and inode number
// (JOURNAL_STREAM in systemd.exec(5)).
func toJournal() bool {
	var st unix.Stat_t
	return unix.Fstat(int(os.Stderr.Fd()), &st) == nil &&
		os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// Priority is a prefix that the journal takes for a line's priority (sd-daemon(3)), or nothing if stderr is
// not the journal.
func Priority(level syslog.Priority) string {
	if !toJournal() {
		return ""
	}
	return fmt.Sprintf("<%d>", level)
}

// prioritized puts the priority in front of each line of another formatter.
type prioritized struct{ logrus.Formatter }

// Format is that of the other formatter, with the priority of the entry.
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

// Formatter is a formatter whose lines have their priorities if stderr is the journal, else the formatter
// itself.
func Formatter(f logrus.Formatter) logrus.Formatter {
	if toJournal() {
		return &prioritized{f}
	}
	return f
}

// Plain is a hook that keeps messages on one line that cannot act on a terminal. Hooks are called in the
// order in which they were added, so the syslog hook, which is added later, gets the same.
type Plain struct{}

// Levels are all.
func (Plain) Levels() []logrus.Level { return logrus.AllLevels }

// Fire changes the message.
func (Plain) Fire(entry *logrus.Entry) error {
	entry.Message = plain.Line(entry.Message)
	return nil
}
