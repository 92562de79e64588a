package iter

import (
	"context"
	"testing"

	"bpfviewfs/internal/ktest"
	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// tasksMessage is the message type Tasks of the view's schema.
func tasksMessage(t *testing.T, v *View) protoreflect.MessageDescriptor {
	t.Helper()
	compiler := protocompile.Compiler{Resolver: &protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"taskspb.proto": string(v.Proto())}),
	}}
	files, err := compiler.Compile(context.Background(), "taskspb.proto")
	if err != nil {
		t.Fatal(err)
	}
	return files[0].Messages().ByName("Tasks")
}

func decodeTasks(t *testing.T, schema protoreflect.MessageDescriptor, out string) (rows []row) {
	t.Helper()
	m := dynamicpb.NewMessage(schema)
	if err := proto.Unmarshal([]byte(out), m); err != nil {
		t.Fatal(err)
	}
	if len(m.GetUnknown()) > 0 {
		t.Errorf("%d bytes of unknown fields", len(m.GetUnknown()))
	}
	list := m.Get(schema.Fields().ByName("tasks")).List()
	for i := range list.Len() {
		task := list.Get(i).Message()
		if len(task.GetUnknown()) > 0 {
			t.Fatalf("task %v has unknown fields", task)
		}
		fields := task.Descriptor().Fields()
		get := func(name protoreflect.Name) protoreflect.Value {
			return task.Get(fields.ByName(name))
		}
		number := func(name protoreflect.Name) int { return int(get(name).Uint()) }
		state := fields.ByName("state").Enum().Values().ByNumber(get("state").Enum())
		if state == nil {
			t.Errorf("state %d has no name", get("state").Enum())
		}
		rows = append(rows, row{
			number("pid"), number("tid"), number("ppid"), number("nspid"), number("uid"),
			string(rune(get("state").Enum())),
			int64(number("user_usec")), int64(number("system_usec")), int64(number("rss_bytes")),
			string(get("comm").Bytes()),
		})
	}
	return rows
}

func TestTasksInProtobuf(t *testing.T) {
	h := testHierarchy(t, "")
	views := testViews(t, h, Options{}, "taskspb")
	schema := tasksMessage(t, views["taskspb"])
	dir := ktest.Cgroup(t, h.String(), "bpfviewfs-test-*")
	ktest.Helper{Cgroup: dir, Children: 300, Threads: 2, Comm: "\xff\n"}.Start(t)
	id := ktest.CgroupID(t, dir)
	for name, v := range flavours(t, views["taskspb"]) {
		t.Run(name, func(t *testing.T) {
			out := mustRun(t, v, id)
			want := make(map[int]row)
			for _, r := range parseTasks(t, mustRun(t, views["tasks"], id)) {
				want[r.tid] = r
			}
			got := decodeTasks(t, schema, out)
			children := 0
			for _, r := range got {
				// one that only sleeps
				if r.pid == r.tid && r.ppid != r.pid && want[r.ppid].pid == r.ppid {
					children++
					if r != want[r.tid] {
						t.Errorf("%+v, but tasks has %+v", r, want[r.tid])
					}
				}
			}
			if children != 300 {
				t.Errorf("%d children of 300", children)
			}
			if twice := decodeTasks(t, schema, out+out); len(twice) != 2*len(got) {
				t.Errorf("%d tasks in one run, %d in two", len(got), len(twice))
			}
		})
	}
}
