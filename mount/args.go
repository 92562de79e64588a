package mount

import (
	"fmt"
	"strings"

	"bpfviewfs/mount/exit"
	"bpfviewfs/mount/place"
)

// ParseArgs reads the arguments that mount(8) gives its helper (without argv[0]):
//
//	SOURCE DIR [-sfnv] [-o LIST]... [-t TYPE]
//
// with the options before, between or behind SOURCE and DIR, letters glued or apart. Letters of mount(8)
// without a meaning here (-n, no mtab; -w) are accepted. --foreground keeps the process attached; -- ends the
// options. Errors carry exit.Usage.
func ParseArgs(args []string) (Options, error) {
	o := newOptions()
	var lists, operands []string
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			operands = append(operands, args...)
			args = nil
		case arg == "--foreground":
			o.Foreground = true
		case len(arg) < 2 || arg[0] != '-':
			operands = append(operands, arg)
		default:
			var err error
			if lists, args, err = o.letters(arg, lists, args); err != nil {
				return o, exit.With(exit.Usage, err)
			}
		}
	}
	if len(operands) != 2 {
		return o, exit.With(exit.Usage,
			fmt.Errorf("want SOURCE and DIR, got %d operands: %q", len(operands), operands))
	}
	o.Source, o.Target = operands[0], operands[1]
	return o, o.parse(lists)
}

// letters takes one word of glued letters; -o and -t take the rest of it, or the next argument.
func (o *Options) letters(word string, lists, args []string) (_, rest []string, err error) {
	for i := 1; i < len(word); i++ {
		switch c := word[i]; c {
		case 's':
			o.Sloppy = true
		case 'f':
			o.Fake = true
		case 'v':
			o.Verbose = true
		case 'n', 'r', 'w':
		case 'o', 't':
			value := word[i+1:]
			if value == "" {
				if len(args) == 0 {
					return lists, args, fmt.Errorf("option -%c: no value", c)
				}
				value, args = args[0], args[1:]
			}
			if c == 'o' {
				return append(lists, value), args, nil
			}
			if strings.TrimPrefix(value, "fuse.") != "bpfviewfs" {
				return lists, args, fmt.Errorf("option -t: bad value %q: this mounts %s only",
					value, place.Type)
			}
			return lists, args, nil
		default:
			return lists, args, fmt.Errorf("unknown option %q", word)
		}
	}
	return lists, args, nil
}
