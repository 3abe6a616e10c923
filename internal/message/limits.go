package message

// Bounds on what is read, so that no peer makes us hold or scan more. Over
// them a request is answered 400, 413, 414 or 513 and a response is dropped.
const (
	MaxMessage    = 64 << 10 // octets of a whole message
	MaxStartLine  = 4 << 10  // octets of a request or status line
	MaxHeaderLine = 8 << 10  // octets of a header line with its folded continuations
	MaxHeaders    = 128      // header lines, folded ones counted once
	MaxVias       = 70       // Via values: as many as Max-Forwards lets there be
	MaxRoutes     = 20       // Route values of a request
	MaxContacts   = 16       // Contact values of a request
	MaxBody       = 32 << 10 // octets of a body
)

// usualLines is room for the header lines of most messages.
const usualLines = 24
