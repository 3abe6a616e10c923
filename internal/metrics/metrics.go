// Package metrics names every counter of Pinhole once. It imports nothing of
// ours and knows no exposition format. It owns no goroutine.
package metrics

import "sync/atomic"

// Counter is something that is counted. It only grows; what is open now is the
// difference of two counters.
type Counter uint8

// The counters, in the order of a message's way.
const (
	StrangerDatagrams   Counter = iota // from outside the allowed networks, dropped
	StrangerConnections                // the same over TCP, closed
	BrokenMessages                     // not SIP, or SIP that breaks a rule
	MessageLimits                      // messages over a limit of size or time
	ConnectionLimits                   // connections over a limit of number
	SlowConnections                    // closed because the peer did not read

	RequestsIn       // from either side, without retransmissions
	ResponsesIn      // the same
	Retransmissions  // requests and responses that came again
	Registrations    // 2xx to a REGISTER that adds or refreshes a contact
	Unregistrations  // 2xx to a REGISTER that removes one
	RegisterRefusals // final answers to REGISTER but 2xx, 401 and 407
	Challenges       // 401 and 407 passed to a phone
	UnmatchedCalls   // inbound requests that found no phone
	CallsIn          // INVITEs from upstream that open a dialog
	CallsOut         // the same from a phone
	CallsAnswered    // 2xx to one of these
	CallsEnded       // answered calls that are over
	CallsFailed      // calls that are over without an answer
	ExemptLeaks      // private addresses that a digest or signature covers, or in an opaque body

	ServersBegun // server transactions: requests received
	ServersEnded
	ClientsBegun // client transactions: requests sent, each branch of a fork
	ClientsEnded

	FlowsUp        // a flow came up
	FlowsDown      // a flow failed
	MappingChanges // a flow's mapped address changed

	MediaPortsOpened   // UDP ports taken by calls
	MediaPortsClosed   // the same, given back
	MediaPortsExceeded // calls that found no port free
	MediaStrangers     // packets from a source that is not latched, dropped
	MediaSecondSources // streams taken from another source than signalled, after 2 s of silence

	counters // the number of them
)

var names = [counters]string{
	StrangerDatagrams:   "stranger_datagrams_total",
	StrangerConnections: "stranger_connections_total",
	BrokenMessages:      "broken_messages_total",
	MessageLimits:       "message_limits_total",
	ConnectionLimits:    "connection_limits_total",
	SlowConnections:     "slow_connections_total",
	RequestsIn:          "requests_in_total",
	ResponsesIn:         "responses_in_total",
	Retransmissions:     "retransmissions_total",
	Registrations:       "registrations_total",
	Unregistrations:     "unregistrations_total",
	RegisterRefusals:    "register_refusals_total",
	Challenges:          "challenges_total",
	UnmatchedCalls:      "unmatched_calls_total",
	CallsIn:             "calls_in_total",
	CallsOut:            "calls_out_total",
	CallsAnswered:       "calls_answered_total",
	CallsEnded:          "calls_ended_total",
	CallsFailed:         "calls_failed_total",
	ExemptLeaks:         "exempt_leaks_total",
	ServersBegun:        "server_transactions_total",
	ServersEnded:        "server_transactions_ended_total",
	ClientsBegun:        "client_transactions_total",
	ClientsEnded:        "client_transactions_ended_total",
	FlowsUp:             "flows_up_total",
	FlowsDown:           "flows_down_total",
	MappingChanges:      "mapping_changes_total",
	MediaPortsOpened:    "media_ports_opened_total",
	MediaPortsClosed:    "media_ports_closed_total",
	MediaPortsExceeded:  "media_ports_exceeded_total",
	MediaStrangers:      "media_strangers_total",
	MediaSecondSources:  "media_second_sources_total",
}

// String returns the counter's name.
func (c Counter) String() string { return names[c] }

// Set holds one value of each counter. The zero Set is ready, a nil *Set counts
// nothing; both are safe for concurrent use.
type Set struct{ values [counters]atomic.Uint64 }

// Add counts one.
func (s *Set) Add(c Counter) { s.AddN(c, 1) }

// AddN counts n at once.
func (s *Set) AddN(c Counter, n uint64) {
	if s != nil {
		s.values[c].Add(n)
	}
}

// Get returns the value of c.
func (s *Set) Get(c Counter) uint64 {
	if s == nil {
		return 0
	}
	return s.values[c].Load()
}

// Snapshot returns all values by name. Each is exact, but they are not of one
// instant.
func (s *Set) Snapshot() map[string]uint64 {
	all := make(map[string]uint64, counters)
	for c := range counters {
		all[c.String()] = s.Get(c)
	}
	return all
}
