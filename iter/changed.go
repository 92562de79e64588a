package iter

import (
	"crypto/sha256"
	"fmt"
)

// changedRecord warns if a view's record is not what it was and its version is: whoever reads raw records
// has nothing else to go by.
func changedRecord(old, v *View) string {
	if old.record == nil || v.record == nil || old.version != v.version || recordHash(old.record) == recordHash(v.record) {
		return ""
	}
	return fmt.Sprintf("its record changed without a new version (it is %d)", v.version)
}

func recordHash(r *record) string {
	return fmt.Sprintf("%.8x", sha256.Sum256(fmt.Append(nil, r.columns)))
}
