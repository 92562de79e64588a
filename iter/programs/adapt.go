package programs

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"slices"
)

// Kinds of BTF types, and the bytes that follow the head of one: some, and some for each member
// (Documentation/bpf/btf.rst).
const (
	btfInt      = 1
	btfArray    = 3
	btfStruct   = 4
	btfUnion    = 5
	btfEnum     = 6
	btfVolatile = 9
	btfConst    = 10
	btfProto    = 13
	btfVar      = 14
	btfDatasec  = 15
	btfDeclTag  = 17
	btfEnum64   = 19
)

const btfHead = 12 // bytes: name, kind and number of members, size or type

// adapt rewrites two things that libbpf loads and the parser of cilium/ebpf v0.22 refuses:
//
//   - "extern const void SYMBOL __ksym" becomes extern void, because const says nothing about an address.
//   - A weak variable of __kconfig becomes a strong one. Their names are in weak (see zeroUnset).
//
// It gives raw itself if there is nothing to rewrite.
func adapt(raw []byte) (adapted []byte, weak []string) {
	f, err := elf.NewFile(bytes.NewReader(raw))
	if err != nil { // the parser has better words
		return raw, nil
	}
	section := f.Section(".BTF")
	if section == nil || section.Type == elf.SHT_NOBITS ||
		section.Offset+section.FileSize > uint64(len(raw)) {
		return raw, nil
	}
	adapted = bytes.Clone(raw)
	types := readTypes(adapted[section.Offset:][:section.FileSize], f.ByteOrder)
	types.voidSymbols()
	config := types.variables(".kconfig")
	symbols, err := f.Symbols()
	table := f.SectionByType(elf.SHT_SYMTAB)
	if err != nil || table == nil {
		return adapted, nil
	}
	const symbolSize, infoAt = 24, 4 // of Elf64_Sym, and of st_info in it
	for i, s := range symbols {
		at := table.Offset + uint64(i+1)*symbolSize + infoAt // Symbols leaves out the first
		if elf.ST_BIND(s.Info) == elf.STB_WEAK && s.Section == elf.SHN_UNDEF &&
			slices.Contains(config, s.Name) && at < uint64(len(raw)) {
			adapted[at] = elf.ST_INFO(elf.STB_GLOBAL, elf.ST_TYPE(s.Info))
			weak = append(weak, s.Name)
		}
	}
	return adapted, weak
}

// btfTypes are the types of an object as they are in its file: heads of types, by their ids.
type btfTypes struct {
	order   binary.ByteOrder
	heads   [][]byte // each to the end of the types; the first is void
	strings []byte
}

// readTypes reads as far as the bytes make sense.
func readTypes(section []byte, order binary.ByteOrder) *btfTypes {
	t := &btfTypes{order: order, heads: [][]byte{nil}}
	const header = 24
	if len(section) < header {
		return t
	}
	part := func(at int) []byte { // given by an offset and a length in the header
		all := section[min(uint64(order.Uint32(section[4:])), uint64(len(section))):]
		all = all[min(uint64(order.Uint32(section[at:])), uint64(len(all))):]
		return all[:min(uint64(order.Uint32(section[at+4:])), uint64(len(all)))]
	}
	t.strings = part(16)
	for rest := part(8); len(rest) >= btfHead; {
		t.heads = append(t.heads, rest)
		size := btfHead
		switch kind, members := t.kind(rest); kind {
		case btfInt, btfVar, btfDeclTag:
			size += 4
		case btfArray:
			size += 12
		case btfStruct, btfUnion, btfDatasec, btfEnum64:
			size += 12 * members
		case btfEnum, btfProto:
			size += 8 * members
		}
		rest = rest[min(size, len(rest)):]
	}
	return t
}

func (t *btfTypes) kind(head []byte) (kind uint32, members int) {
	info := t.order.Uint32(head[4:])
	return info >> 24 & 0x1f, int(info & 0xffff)
}

func (t *btfTypes) name(head []byte) string {
	name, _, _ := bytes.Cut(t.strings[min(uint64(t.order.Uint32(head)), uint64(len(t.strings))):],
		[]byte{0})
	return string(name)
}

// head gives the head of a type; nil for void and for an id that is none.
func (t *btfTypes) head(id uint32) []byte {
	if uint64(id) >= uint64(len(t.heads)) {
		return nil
	}
	return t.heads[id]
}

// section gives the heads of the variables of a section.
func (t *btfTypes) section(name string) (variables [][]byte) {
	for _, head := range t.heads[1:] {
		kind, members := t.kind(head)
		if kind != btfDatasec || t.name(head) != name || len(head) < btfHead+12*members {
			continue
		}
		for i := range members {
			v := t.head(t.order.Uint32(head[btfHead+12*i:]))
			if v == nil {
				continue
			}
			if kind, _ := t.kind(v); kind == btfVar {
				variables = append(variables, v)
			}
		}
	}
	return variables
}

// variables are the names of the variables of a section.
func (t *btfTypes) variables(section string) (names []string) {
	for _, v := range t.section(section) {
		names = append(names, t.name(v))
	}
	return names
}

// voidSymbols takes const and volatile from symbols of type void.
func (t *btfTypes) voidSymbols() {
	for _, v := range t.section(".ksyms") {
		of := t.order.Uint32(v[8:])
		for range len(t.heads) { // a chain of types that is longer is a ring
			head := t.head(of)
			if head == nil {
				break
			}
			if kind, _ := t.kind(head); kind != btfConst && kind != btfVolatile {
				break
			}
			of = t.order.Uint32(head[8:])
		}
		if of == 0 {
			t.order.PutUint32(v[8:], 0)
		}
	}
}
