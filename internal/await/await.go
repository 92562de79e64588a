// Package await makes values that may take long, so that nobody has to wait for the end.
package await

import "time"

// Making is a value that is being made.
type Making[T any] struct {
	begun time.Time
	done  chan struct{}
	value T
	err   error
}

// Begin makes a value in a goroutine of its own.
func Begin[T any](produce func() (T, error)) *Making[T] {
	m := &Making[T]{begun: time.Now(), done: make(chan struct{})}
	go func() {
		defer close(m.done)
		m.value, m.err = produce()
	}()
	return m
}

// Within gives the value when it is made. ok is false if that takes longer than patience since Begin. So of
// many that wait with the same patience, one after the other, only the first waits.
func (m *Making[T]) Within(patience time.Duration) (value T, ok bool, err error) {
	late := time.NewTimer(time.Until(m.begun.Add(patience)))
	defer late.Stop()
	select {
	case <-m.done:
		return m.value, true, m.err
	default:
	}
	select {
	case <-m.done:
		return m.value, true, m.err
	case <-late.C:
		return value, false, nil
	}
}

// End waits for the value.
func (m *Making[T]) End() (T, error) {
	<-m.done
	return m.value, m.err
}
