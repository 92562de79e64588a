package programs

import (
	"bytes"
	"debug/elf"
	"fmt"
	"slices"
	"strings"
)

// tables names the variables that hold addresses, for example tables of strings. Their values are relocations
// of data. Loaders do not apply these, so the program reads zeros.
func tables(raw []byte) (names []string) {
	f, err := elf.NewFile(bytes.NewReader(raw))
	if err != nil {
		return nil
	}
	symbols, err := f.Symbols()
	if err != nil {
		return nil
	}
	for _, relocations := range f.Sections {
		if relocations.Type != elf.SHT_REL || int(relocations.Info) >= len(f.Sections) {
			continue
		}
		of := f.Sections[relocations.Info]
		if !strings.HasPrefix(of.Name, ".rodata") && !strings.HasPrefix(of.Name, ".data") {
			continue
		}
		entries, err := relocations.Data()
		if err != nil {
			continue
		}
		for ; len(entries) >= 16; entries = entries[16:] { // of Elf64_Rel
			at := f.ByteOrder.Uint64(entries)
			names = append(names, variableAt(symbols, elf.SectionIndex(relocations.Info),
				at, of.Name))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// variableAt names the variable at an offset of a section, or the section if its name is gone.
func variableAt(symbols []elf.Symbol, section elf.SectionIndex, at uint64, name string) string {
	for _, s := range symbols {
		if s.Section == section && elf.ST_TYPE(s.Info) == elf.STT_OBJECT && s.Value <= at &&
			at-s.Value < s.Size {
			return s.Name
		}
	}
	return name
}

// noteTables notes the tables of an object.
func (o *Object) noteTables(raw []byte) {
	for _, name := range tables(raw) {
		o.notes = append(o.notes,
			fmt.Sprintf("variable %s holds addresses, which no loader fills in, "+
				"so its strings are empty: an array of char arrays has them", name))
	}
}
