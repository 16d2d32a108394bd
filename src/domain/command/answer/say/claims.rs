//! Calls that were taken or declined, and those that could not be.

use super::customer;
use crate::domain::{
    queue::claim::{NoCallBack, NoClaim, NoDecline, NoTransfer},
    words::{Language, failed, said},
};

pub(super) fn taken(code: &str, name: &str, language: Language) -> String {
    said!(
        language,
        "{customer} is yours: your phone rings.",
        "{customer} es suyo: su teléfono suena.",
        "{customer} é seu: seu telefone toca.",
        customer = customer(code, name),
    )
}

pub(super) fn declined(code: &str, name: &str, language: Language) -> String {
    said!(
        language,
        "{customer} goes to the others.",
        "{customer} queda para los demás.",
        "{customer} fica para os outros.",
        customer = customer(code, name),
    )
}

pub(super) fn not_taken(why: &NoClaim, language: Language) -> String {
    if let NoClaim::Taken { by } = why {
        return match by.number_outside() {
            Some(_) => {
                language.pick(["Too late: it is taken.", "Tarde: ya está tomada.", "Tarde: já foi atendida."]).into()
            }
            None => said!(language, "Too late: {by} has it.", "Tarde: la tiene {by}.", "Tarde: está com {by}.",),
        };
    }
    language
        .pick(match why {
            NoClaim::NotLoggedOn => [
                "Not done: you are logged on to no queue. \"login\" first.",
                "No se hizo: no tiene sesión en ninguna cola. Primero \"entrar\".",
                "Não foi feito: você não está em nenhuma fila. Primeiro \"entrar\".",
            ],
            NoClaim::NobodyWaits => [
                "Nobody waits for you to take.",
                "Nadie espera a quien pueda tomar.",
                "Ninguém espera que você possa pegar.",
            ],
            NoClaim::Taken { .. } => ["", "", ""],
            NoClaim::Yours => ["That call is yours.", "Esa llamada es suya.", "Essa ligação é sua."],
            NoClaim::Busy => [
                "Not done: you have a call.",
                "No se hizo: usted tiene una llamada.",
                "Não foi feito: você tem uma ligação.",
            ],
            NoClaim::Paused => [
                "Not done: you are paused. \"resume\" first.",
                "No se hizo: está en pausa. Primero \"reanudar\".",
                "Não foi feito: você está em pausa. Primeiro \"retomar\".",
            ],
            NoClaim::WrapUp => [
                "Not done: you are in wrap-up.",
                "No se hizo: está en el tiempo posterior a la llamada.",
                "Não foi feito: você está no tempo depois da ligação.",
            ],
            NoClaim::PhoneInUse => [
                "Not done: your phone is in use.",
                "No se hizo: su teléfono está ocupado.",
                "Não foi feito: seu telefone está ocupado.",
            ],
            NoClaim::PhoneUnavailable => [
                "Not done: your phone cannot be reached.",
                "No se hizo: su teléfono no está disponible.",
                "Não foi feito: seu telefone não está disponível.",
            ],
            NoClaim::NotForYou => [
                "Not done: the callers who wait cannot be given to you now.",
                "No se hizo: a usted no se le pueden dar ahora los que esperan.",
                "Não foi feito: os que esperam não podem ser dados a você agora.",
            ],
        })
        .into()
}

pub(super) fn calls_back(code: &str, name: &str, number: &str, language: Language) -> String {
    said!(
        language,
        "Your phone rings, and then {customer} is called at {number}.",
        "Su teléfono suena, y después se llama a {customer} al {number}.",
        "Seu telefone toca, e depois se liga para {customer} no {number}.",
        customer = customer(code, name),
    )
}

pub(super) fn not_called_back(why: Option<&NoCallBack>, language: Language) -> String {
    match why {
        None => said!(
            language,
            "In your queues nobody has called in vain since yesterday whom nobody has talked with after that.",
            "En sus colas nadie llamó en vano desde ayer sin que se hablara con él después.",
            "Nas suas filas ninguém ligou em vão desde ontem sem que se falasse com ele depois.",
        ),
        Some(NoCallBack::NoNumber) => said!(
            language,
            "Not done: their number was withheld or cannot be called.",
            "No se hizo: su número estaba oculto o no se le puede llamar.",
            "Não foi feito: o número não foi mostrado ou não se pode ligar para ele.",
        ),
        Some(NoCallBack::There(Some(by))) if by.number_outside().is_none() => {
            said!(language, "Too late: {by} has it.", "Tarde: la tiene {by}.", "Tarde: está com {by}.")
        }
        Some(NoCallBack::There(_)) => said!(
            language,
            "Not done: they have called again, and wait or talk.",
            "No se hizo: volvieron a llamar, y esperan o hablan.",
            "Não foi feito: ligaram outra vez, e esperam ou falam.",
        ),
        Some(NoCallBack::ServerAway) => said!(
            language,
            "Not done: the switchboard that they had called cannot be reached now.",
            "No se hizo: la central a la que llamaron no está disponible ahora.",
            "Não foi feito: a central para a qual ligaram não está disponível agora.",
        ),
        Some(NoCallBack::NotNow(why)) => not_taken(why, language),
    }
}

pub(super) fn transferred(code: &str, name: &str, to: &str, language: Language) -> String {
    said!(
        language,
        "{customer} goes to {to}.",
        "{customer} pasa a {to}.",
        "{customer} passa para {to}.",
        customer = customer(code, name),
    )
}

pub(super) fn not_transferred(why: NoTransfer, language: Language) -> String {
    match why {
        NoTransfer::NotTalking => said!(
            language,
            "Not done: you talk with no caller.",
            "No se hizo: no está hablando con nadie que haya llamado.",
            "Não foi feito: você não está falando com ninguém que ligou.",
        ),
        NoTransfer::Yourself => {
            said!(language, "Not done: that is you.", "No se hizo: es usted mismo.", "Não foi feito: é você mesmo.",)
        }
        NoTransfer::Failed(why) => said!(
            language,
            "Not done: {why}. You keep the caller.",
            "No se hizo: {why}. La llamada sigue con usted.",
            "Não foi feito: {why}. A ligação continua com você.",
            why = language.pick(failed(why)),
        ),
    }
}

pub(super) fn not_declined(why: NoDecline, language: Language) -> &'static str {
    language.pick(match why {
        NoDecline::NothingOffered => {
            ["Nothing is offered to you.", "No se le ofrece nada.", "Nada é oferecido a você."]
        }
        NoDecline::Answered => {
            ["Not done: you have answered it.", "No se hizo: ya la contestó.", "Não foi feito: você já a atendeu."]
        }
    })
}
