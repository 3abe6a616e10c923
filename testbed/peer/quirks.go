package peer

import "time"

// PongMode says how a provider answers CRLFCRLF on a stream (RFC 5626 §4.4.1).
type PongMode uint8

// The pong modes.
const (
	PongOne    PongMode = iota // one CRLF each time, as the RFC says
	PongNone                   // never
	PongFirst                  // only to the first ping of a connection
	PongDouble                 // CRLFCRLF
)

// Quirks are the ways in which a provider differs from the book. The zero value
// is a well-behaved one. Change them while it runs with Provider.Set.
type Quirks struct {
	Pong     PongMode
	PlainVia bool // answers without received and rport

	Expires    time.Duration // granted at most; 0 is what was asked for
	MinExpires time.Duration // less, but not 0, is answered with 423
	Strict439  bool          // reg-id with outbound is answered with 439

	Refuse map[string]int  // method → status that every such request gets, before any challenge
	Ignore map[string]bool // method → no answer at all
	Forbid map[string]bool // user → 403 to good and bad credentials

	Foreign       []string // Contact elements of other devices, listed before ours in every 200
	ReCase        bool     // our Contact comes back in another case
	ReOrder       bool     // its URI parameters come back in reverse order
	Append        string   // appended to each Contact, such as ";alias=1.2.3.4~5060~2"
	OneLine       bool     // all Contacts in one line
	ExpiresHeader bool     // the lease in an Expires header, not in the Contact
	OneContact    bool     // a REGISTER with two Contacts gets a 400
	DropWithFlow  bool     // bindings die with the connection they came on
	Extra         []string // further header lines of the 200 to REGISTER
	Keep          int      // ;keep=N in the Via of answers to requests that offer it (RFC 6223)

	ChallengeAll  bool     // requests inside a dialog are challenged too
	RecordRoute   []string // values that answers to calls to our own numbers bear
	OpenInvite    bool     // INVITE is not challenged
	NoRecordRoute bool     // a proxied INVITE is not recorded
	ByURI         bool     // send to the address in the Contact, as a registrar without NAT helpers does
	AnyAuthUser   bool     // the user name of the credentials need not be the account's
}
