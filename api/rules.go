package api

import "github.com/cobropay/cobro/payment"

// What JSON and query strings must be, in words for their author. The rules of
// values are the payment package's.

func ruleRequired() payment.Rule {
	return payment.Rule{English: "is required", Spanish: "es obligatorio"}
}

func ruleText() payment.Rule {
	return payment.Rule{English: "must be a string", Spanish: "debe ser un texto"}
}

func ruleAmount() payment.Rule {
	return payment.Rule{
		English: `must be a string with an amount like "25.00", of at most two decimals`,
		Spanish: `debe ser un texto con una cantidad como "25.00", de dos decimales como máximo`,
	}
}

func ruleWhole() payment.Rule {
	return payment.Rule{English: "must be a whole number", Spanish: "debe ser un número entero"}
}

func ruleList() payment.Rule {
	return payment.Rule{English: "must be a list of objects", Spanish: "debe ser una lista de objetos"}
}

func rulePhone() payment.Rule {
	return payment.Rule{English: "must be a phone number of ten digits", Spanish: "debe ser un número de teléfono de diez dígitos"}
}

func ruleUnknown() payment.Rule {
	return payment.Rule{English: "is not a known field", Spanish: "no es un campo conocido"}
}

func ruleObject() payment.Rule {
	return payment.Rule{English: "must be one JSON object", Spanish: "debe ser un solo objeto JSON"}
}

func ruleOnce() payment.Rule {
	return payment.Rule{English: "must appear once", Spanish: "debe aparecer una sola vez"}
}

func ruleDepth() payment.Rule {
	return payment.Rule{English: "must be nested less deeply", Spanish: "debe tener menos niveles"}
}

func ruleBytes(most int64) payment.Rule {
	return payment.Rule{English: "must have at most %d bytes", Spanish: "debe tener como máximo %d bytes"}.With(most)
}

func ruleOneOf(names string) payment.Rule {
	return payment.Rule{English: "must be one of %s", Spanish: "debe ser uno de %s"}.With(names)
}

// Rules of query parameters.

func ruleQuery() payment.Rule {
	return payment.Rule{English: "must be a well-formed query string", Spanish: "debe estar bien formada"}
}

func ruleParameter() payment.Rule {
	return payment.Rule{English: "is not a known parameter", Spanish: "no es un parámetro conocido"}
}

func ruleTime() payment.Rule {
	return payment.Rule{English: "must be a time such as 2026-01-31T15:04:05Z", Spanish: "debe ser una hora como 2026-01-31T15:04:05Z"}
}

func ruleWait() payment.Rule {
	return payment.Rule{
		English: "must be a duration such as 30s, of at most %s",
		Spanish: "debe ser una duración como 30s, de %s como máximo",
	}.With(maxWait)
}

func ruleLimit() payment.Rule {
	return payment.Rule{English: "must be between 1 and %d", Spanish: "debe estar entre 1 y %d"}.With(maxPage)
}

func ruleCursor() payment.Rule {
	return payment.Rule{
		English: "must be a next_cursor of an earlier answer",
		Spanish: "debe ser el next_cursor de una respuesta anterior",
	}
}

func ruleBoolean() payment.Rule {
	return payment.Rule{English: "must be true or false", Spanish: "debe ser true o false"}
}

// Rules of an announcement.

func ruleTimeout() payment.Rule {
	return payment.Rule{
		English: `must be a duration above zero, such as "30s"`,
		Spanish: `debe ser una duración mayor que cero, como "30s"`,
	}
}

func ruleReceiverOnce() payment.Rule {
	return payment.Rule{English: "must be announced once for each event", Spanish: "debe anunciarse una sola vez por evento"}
}

func ruleReceivers() payment.Rule {
	return payment.Rule{
		English: "must name one receiver at the least; none is removed by leaving it out",
		Spanish: "debe nombrar al menos un receptor; ninguno se elimina por omitirlo",
	}
}
