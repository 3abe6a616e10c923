package message

import "math/bits"

// Header names a header field Pinhole looks at; Other is every other one.
type Header uint8

// The header fields Pinhole looks at, by their long names.
const (
	Other Header = iota
	Via
	From
	To
	CallID
	CSeq
	Contact
	Route
	RecordRoute
	MaxForwards
	MaxBreadth
	ContentLength
	ContentType
	ContentEncoding
	Expires
	MinExpires
	Authorization
	ProxyAuthorization
	WWWAuthenticate
	ProxyAuthenticate
	AuthenticationInfo
	Supported
	Require
	ProxyRequire
	Unsupported
	Path
	ServiceRoute
	ReferTo
	ReferredBy
	Replaces
	Join
	TargetDialog
	InReplyTo
	RAck
	RSeq
	Warning
	RetryAfter
	Event
	SubscriptionState
	PAssociatedURI
	PCalledPartyID
	PAssertedIdentity
	PPreferredIdentity
	RemotePartyID
	Diversion
	HistoryInfo
	Identity
	IdentityInfo
	FlowTimer
	SessionExpires
	MinSE
	UserAgent
	Server
	Allow
	Date
	Reason
	numHeaders // at most 64: sets of them are bits of a uint64
)

var names = [numHeaders]string{
	Other: "", Via: "Via", From: "From", To: "To", CallID: "Call-ID", CSeq: "CSeq",
	Contact: "Contact", Route: "Route", RecordRoute: "Record-Route",
	MaxForwards: "Max-Forwards", MaxBreadth: "Max-Breadth",
	ContentLength: "Content-Length", ContentType: "Content-Type", ContentEncoding: "Content-Encoding",
	Expires: "Expires", MinExpires: "Min-Expires",
	Authorization: "Authorization", ProxyAuthorization: "Proxy-Authorization",
	WWWAuthenticate: "WWW-Authenticate", ProxyAuthenticate: "Proxy-Authenticate",
	AuthenticationInfo: "Authentication-Info",
	Supported:          "Supported", Require: "Require", ProxyRequire: "Proxy-Require", Unsupported: "Unsupported",
	Path: "Path", ServiceRoute: "Service-Route",
	ReferTo: "Refer-To", ReferredBy: "Referred-By", Replaces: "Replaces", Join: "Join",
	TargetDialog: "Target-Dialog", InReplyTo: "In-Reply-To", RAck: "RAck", RSeq: "RSeq",
	Warning: "Warning", RetryAfter: "Retry-After", Event: "Event", SubscriptionState: "Subscription-State",
	PAssociatedURI: "P-Associated-URI", PCalledPartyID: "P-Called-Party-ID",
	PAssertedIdentity: "P-Asserted-Identity", PPreferredIdentity: "P-Preferred-Identity",
	RemotePartyID: "Remote-Party-ID", Diversion: "Diversion", HistoryInfo: "History-Info",
	Identity: "Identity", IdentityInfo: "Identity-Info", FlowTimer: "Flow-Timer",
	SessionExpires: "Session-Expires", MinSE: "Min-SE", UserAgent: "User-Agent", Server: "Server",
	Allow: "Allow", Date: "Date", Reason: "Reason",
}

// String returns the canonical long name, "" for Other.
func (h Header) String() string {
	if h < numHeaders {
		return names[h]
	}
	return ""
}

// compactForm returns the header of a one-letter name, given in lower case.
func compactForm(c byte) Header {
	switch c {
	case 'v':
		return Via
	case 'f':
		return From
	case 't':
		return To
	case 'i':
		return CallID
	case 'm':
		return Contact
	case 'l':
		return ContentLength
	case 'c':
		return ContentType
	case 'e':
		return ContentEncoding
	case 'k':
		return Supported
	case 'r':
		return ReferTo
	case 'b':
		return ReferredBy
	case 'o':
		return Event
	case 'x':
		return SessionExpires
	case 'y':
		return Identity
	case 'n':
		return IdentityInfo
	}
	return Other
}

// A nameKey is a header name in lower case, packed for comparing in at most
// three words: its first 8 octets or all of a shorter one, its last 8 if it
// has so many, and the 8 after the first if it has more than 16.
type nameKey struct {
	head, mid, tail uint64
	size            int
	id              Header
}

const (
	maxName   = 24          // no name is longer; three words hold it
	lowerCase = ones * 0x20 // sets the bit that makes letters lower case
	hashBits  = 8
	hashMul   = 0x64955537a858829f // found by trial: gives no two names one hash
)

// keyTable holds all long and compact names, keyIndex where in it a hash is.
var keyTable, keyIndex = buildKeys()

func hashName(head uint64, size int) uint64 {
	return (head ^ uint64(size)) * hashMul >> (64 - hashBits)
}

func buildKeys() (table [128]nameKey, index [1 << hashBits]uint8) {
	used := uint8(1) // the first stands for no name
	add := func(name string, id Header) {
		head, mid, tail := packName(name)
		h := hashName(head, len(name))
		if index[h] != 0 {
			panic("message: two header names with one hash: " + name)
		}
		table[used], index[h] = nameKey{head, mid, tail, len(name), id}, used
		used++
	}
	for id := Via; id < numHeaders; id++ {
		add(names[id], id)
	}
	for c := byte('a'); c <= 'z'; c++ {
		if id := compactForm(c); id != Other {
			add(string(c), id)
		}
	}
	return table, index
}

// packName packs a name of at most maxName octets.
func packName(name string) (head, mid, tail uint64) {
	size := len(name)
	name += "        "
	if head = load64(name, 0) | lowerCase; size < 8 {
		return head & (1<<(8*uint(size)) - 1), 0, 0
	}
	if size > 16 {
		mid = load64(name, 8) | lowerCase
	}
	return head, mid, load64(name, size-8) | lowerCase
}

// findName returns the header that the line raw[start:end] names, long or
// compact and in any case, and the offset of its colon. When the line names
// none of those, the offset may be any, and is negative when the line is too
// close to the end of raw to be looked at in words.
func findName(raw string, start, end int) (id Header, colon int) {
	if start+8 > len(raw) {
		return Other, -1
	}
	head := load64(raw, start)
	if hit := zeros(head ^ ones*':'); hit != 0 { // a name of less than 8 octets
		size := bits.TrailingZeros64(hit) / 8
		head = (head | lowerCase) & (1<<(8*uint(size)) - 1)
		if k := &keyTable[keyIndex[hashName(head, size)]%128]; k.head == head {
			return k.id, start + size
		}
		return Other, start + size
	}
	for colon = start + 8; ; colon += 8 {
		if colon+8 > len(raw) || colon >= end {
			return Other, -1
		}
		if hit := zeros(load64(raw, colon) ^ ones*':'); hit != 0 {
			colon += bits.TrailingZeros64(hit) / 8
			break
		}
	}
	size := colon - start
	head |= lowerCase
	k := &keyTable[keyIndex[hashName(head, size)]%128]
	if k.head == head && k.size == size && k.tail == load64(raw, colon-8)|lowerCase &&
		(size <= 16 || k.mid == load64(raw, start+8)|lowerCase) {
		return k.id, colon
	}
	return Other, colon
}
