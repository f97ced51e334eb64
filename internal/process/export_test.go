package process

// ExpectPayments makes an open process one that runs payments.
func (p *Process) ExpectPayments() { p.cfg.Payments = true }
