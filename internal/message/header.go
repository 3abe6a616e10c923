package message

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

// lookup returns the header of a name in any case, long or compact.
func lookup(name string) Header {
	if len(name) == 1 {
		return compactForm(name[0] | 0x20)
	}
	for h := Via; h < numHeaders; h++ {
		if EqualFold(names[h], name) {
			return h
		}
	}
	return Other
}
