package dialog

import "testing"

func TestTable(t *testing.T) {
	table := NewTable()
	call := table.New("main", true)
	a := Key{CallID: "1", Phone: "a", Remote: "b"}
	fork := Key{CallID: "1", Phone: "a", Remote: "c"}
	table.Add(a, call)
	table.Add(fork, call)
	table.Add(Key{CallID: "1", Phone: "a"}, call)
	if table.Find(a) != call || table.Find(fork) != call || table.Len() != 1 {
		t.Error("the dialogs do not lead to their call")
	}
	// The provider sends A's call back to B: same Call-ID and tags, turned.
	back := table.New("main", false)
	table.Add(Key{CallID: "1", Phone: "b", Remote: "a"}, back)
	if table.Find(a) != call || table.Find(Key{CallID: "1", Phone: "b", Remote: "a"}) != back {
		t.Error("the two legs of a hairpin are mixed up")
	}
	table.Remove(call)
	if table.Find(a) != nil || table.Find(fork) != nil || table.Len() != 1 {
		t.Error("a removed call is still found")
	}
	table.Remove(call)
	if table.Len() != 1 {
		t.Error("removing twice counts twice")
	}
}
