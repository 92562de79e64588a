// Package mount keeps a filesystem of type fuse.bpfviewfs mounted. It reads the -o language of mount(8),
// mounts, keeps a server process alive, and unmounts.
//
// # Use
//
// A keeper mounts and stays. It starts a server process, and another one when that dies:
//
//	o, err := mount.ParseArgs(os.Args[1:]) // or ParseOptions
//	ready, err := mount.Background(o)
//	if ready == nil {
//		return err // the parent of the process in the background
//	}
//	keeper := mount.Keeper{Options: o, Args: server}
//	return keeper.Run(ready)
//
// The command line in server leads that process here:
//
//	c, err := server.Inherit()
//	return c.Serve(fs, nil)
//
// exit.Code turns any of these errors into the exit code that mount(8) expects of its helper.
package mount
