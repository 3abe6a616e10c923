package config

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// errWrong says no more than that a value is not allowed.
var errWrong = errors.New("wrong value")

// isLabel tells whether s can be one label of a host name (RFC 1123 §2.1).
func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range s {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// parseName reads a host name or an IP literal, an IPv6 one with or without
// brackets, and returns it in lower case.
func parseName(s string) (string, error) {
	inner, bracketed := strings.CutPrefix(s, "[")
	if bracketed {
		inner = strings.TrimSuffix(inner, "]")
	}
	if a, err := netip.ParseAddr(inner); err == nil && a.Zone() == "" && (!bracketed || a.Is6() && len(inner) == len(s)-2) {
		if a.IsUnspecified() || a.IsMulticast() {
			return "", errors.New("no host has this address")
		}
		return a.Unmap().String(), nil
	}
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if len(s) > 253 {
		return "", errors.New("longer than 253 characters")
	}
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if !isLabel(strings.ReplaceAll(label, "_", "x")) {
			return "", errWrong
		}
	}
	if _, err := strconv.Atoi(labels[len(labels)-1]); err == nil {
		return "", errors.New("neither a name nor an IP address")
	}
	return s, nil
}

// parseHost reads "host" or "host:port".
func parseHost(s string) (Host, error) {
	if name, err := parseName(s); err == nil {
		return Host{Name: name}, nil
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		_, err := parseName(s)
		return Host{}, err
	}
	if strings.Contains(s[:i], ":") && !strings.HasPrefix(s, "[") {
		return Host{}, errors.New("an IPv6 address with a port stands in brackets")
	}
	name, err := parseName(s[:i])
	if err != nil {
		return Host{}, err
	}
	port, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil || port == 0 {
		return Host{}, errors.New("the port is not from 1 to 65535")
	}
	return Host{Name: name, Port: uint16(port)}, nil
}
