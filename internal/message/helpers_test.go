package message

import (
	"errors"
	"strconv"
)

// describe returns the reaction an error asks for, "" for none.
func describe(err error) string {
	if err == nil {
		return ""
	}
	var e *Error
	if !errors.As(err, &e) {
		return "not an *Error: " + err.Error()
	}
	s := dropped + e.Reason
	if e.Status != 0 {
		s = strconv.Itoa(e.Status) + " " + e.Reason
	}
	if e.Close {
		s += ", close"
	}
	return s
}
