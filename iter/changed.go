package iter

import (
	"fmt"
)

// changedRecord warns if a view's record is not what it was and its version is: whoever reads raw records
// has nothing else to go by.
func changedRecord(old, v *View) string {
	if old.record == nil || v.record == nil || old.version != v.version || old.Hash() == v.Hash() {
		return ""
	}
	return fmt.Sprintf("its record changed without a new version (it is %d)", v.version)
}
