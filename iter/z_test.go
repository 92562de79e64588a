package iter
import ("testing";"context";"fmt";"time";"golang.org/x/sys/unix")
func TestZ(t *testing.T){
 h:=testHierarchy(t,"")
 views:=testViews(t,h,Options{})
 dir:=testCgroup(t,h.String(),"bpfviewfs-test-*")
 pid:=helper{cgroup:dir,threads:10000,comm:"t"}.start(t)
 v:=views["stacks"]
 t0:=time.Now()
 out,err:=v.Run(context.Background(),cgroupID(t,dir),nil)
 fmt.Println("run",len(out),err,time.Since(t0))
 fd,err:=openIterator(v.task,process(uint32(pid)))
 buf:=make([]byte,65536)
 for i:=0;i<10;i++ { n,err:=unix.Read(fd,buf); fmt.Println(n,err); if n<500 {fmt.Printf("%s\n",buf[:max(n,0)])} }
 fd,err=openIterator(v.cgroup,cgroupByID(cgroupID(t,dir)))
 for i:=0;i<4;i++ { n,err:=unix.Read(fd,buf); fmt.Println(n,err); if n<500 {fmt.Printf("%s\n",buf[:max(n,0)])} }
 out,err=views["tasks"].Run(context.Background(),cgroupID(t,dir),nil)
 fmt.Println("tasks",len(out),err)
 if len(out)<2000 { fmt.Printf("%s",out) }
}
