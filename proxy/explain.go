package proxy

import (
	"strings"
	"time"

	"pinhole/internal/message"
)

// commasToSemicolons makes the parameter list of a digest header readable as one
// of a URI.
func commasToSemicolons(v string) string {
	_, params, _ := strings.Cut(v, " ")
	return strings.ReplaceAll(params, ",", ";")
}

func (c *Core) explain(_ time.Time, _ *server, _ *message.Message) {}
