// Package proxy carries each SIP request and its responses between a phone and
// its flow (RFC 3261 §16, as a UA towards the registrar: RFC 5853 §3). Core is
// one passive state machine; Driver gives it time, sockets and a lock.
package proxy
