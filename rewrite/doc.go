// Package rewrite edits one SIP message or one SDP body, as pure functions over
// the bytes received: Via, Route, Record-Route, Contact, Call-ID, CSeq and the
// addresses that must not leave the LAN (RFC 3261 §16.6, RFC 3581, RFC 5853 §3).
package rewrite
