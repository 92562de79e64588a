package rights

import (
	"slices"
	"testing"
)

func TestPermission(t *testing.T) {
	member := &credentials{groups: []uint32{1000, 2000}}
	capable := &credentials{
		groups: []uint32{1000}, uids: []idRange{{0, 1}, {5, 10}}, gids: []idRange{{0, 1 << 31}},
	}
	for _, tt := range []struct {
		name           string
		more           *credentials
		uid, gid, mode uint32
		want           uint32
	}{
		{"the owner's bits alone count for the owner", member, 1000, 2000, 0o077, 0},
		{"the group's alone for its members", member, 0, 2000, 0o705, 0},
		{"a group of the process", member, 0, 2000, 0o750, 5},
		{"another group", member, 0, 3000, 0o750, 0},
		{"all others", member, 0, 3000, 0o701, 1},
		{"write is nothing", member, 0, 3000, 0o002, 0},
		{"groups not known: what both have", &credentials{}, 0, 2000, 0o754, 4},
		{"groups not known: equal bits", &credentials{}, 0, 2000, 0o711, 1},
		{"capable over the owner", capable, 0, 7, 0o000, 5},
		{"of the last of a range", capable, 14, 7, 0o000, 5},
		{"not past it", capable, 15, 7, 0o000, 0},
		{"not of an unmapped group", capable, 0, 1 << 31, 0o700, 0},
	} {
		p := &Process{UID: 1000, more: tt.more}
		if got := p.Bits(tt.uid, tt.gid, tt.mode); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestParseStatus(t *testing.T) {
	const status = "Name:\tUid: 7\nUid:\t0\t0\t0\t1000\nGid:\t5\t5\t5\t6\n" +
		"Groups:\t24 25 \nCapEff:\t0000000000000004\n"
	if groups, capable := parseStatus(status, 1000); !slices.Equal(groups, []uint32{6, 24, 25}) || !capable {
		t.Errorf("groups %d, capable %t", groups, capable)
	}
	if groups, capable := parseStatus(status, 0); groups != nil || capable {
		t.Errorf("of another user: groups %d, capable %t", groups, capable)
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add("Uid:\t0\t0\t0\t1000\nGid:\t5\t5\t5\t6\nGroups:\t24 25 \nCapEff:\t0000000000000004\n")
	f.Add("Uid:\nGid:\nGroups:\nCapEff:\n")
	f.Fuzz(func(t *testing.T, status string) {
		groups, capable := parseStatus(status, 1<<31)
		if (groups != nil || capable) && len(status) < len("Uid: 0 0 0 2147483648") {
			t.Errorf("groups %d, capable %t", groups, capable)
		}
	})
}
