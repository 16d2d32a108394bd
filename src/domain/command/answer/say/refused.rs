//! What was not done, and why.

use crate::domain::{
    command::{Refusal, Verb, answer::Trouble},
    words::{Language, said},
};

pub(super) fn refused(refusal: &Refusal, language: Language) -> String {
    match refusal {
        Refusal::NotYours(extension) => said!(
            language,
            "Not done: extension {extension} is not yours, and only a supervisor may do that.",
            "No se hizo: la extensión {extension} no es suya, y solo un supervisor puede hacerlo.",
            "Não foi feito: o ramal {extension} não é seu, e só um supervisor pode fazer isso.",
        ),
        Refusal::WhichExtension => said!(
            language,
            "For which extension? Put it after the word: status 1000",
            "¿Para qué extensión? Póngala después de la palabra: estado 1000",
            "Para qual ramal? Ponha-o depois da palavra: estado 1000",
        ),
        Refusal::NoSuchExtension(named) => said!(
            language,
            "Not done: there is no extension {named}.",
            "No se hizo: no hay ninguna extensión {named}.",
            "Não foi feito: não há ramal {named}.",
        ),
        Refusal::WhichQueue(known) if known.is_empty() => said!(
            language,
            "Not done: there is no queue.",
            "No se hizo: no hay ninguna cola.",
            "Não foi feito: não há nenhuma fila.",
        ),
        Refusal::WhichQueue(known) => said!(
            language,
            "Which queue? {known}",
            "¿Qué cola? {known}",
            "Qual fila? {known}",
            known = known.join(", "),
        ),
        Refusal::NoSuchQueue { named, known } => said!(
            language,
            "Not done: there is no queue \"{named}\". There are: {known}.",
            "No se hizo: no hay ninguna cola \"{named}\". Hay: {known}.",
            "Não foi feito: não há fila \"{named}\". Há: {known}.",
            known = known.join(", "),
        ),
        Refusal::NotAMember { extension, queue } => said!(
            language,
            "Not done: extension {extension} is not a member of {queue}.",
            "No se hizo: la extensión {extension} no es miembro de {queue}.",
            "Não foi feito: o ramal {extension} não é membro de {queue}.",
        ),
        Refusal::NoPhone => said!(
            language,
            "Not done: you have no extension of your own.",
            "No se hizo: usted no tiene una extensión propia.",
            "Não foi feito: você não tem um ramal próprio.",
        ),
        Refusal::OwnPhone => said!(
            language,
            "Not done: that is for your own phone, and for no other extension.",
            "No se hizo: eso es para su propio teléfono, y para ninguna otra extensión.",
            "Não foi feito: isso é para o seu próprio telefone, e para nenhum outro ramal.",
        ),
        Refusal::BadReason => said!(
            language,
            "Not done: the reason has to be one line of at most 200 characters.",
            "No se hizo: el motivo debe ser una línea de 200 caracteres como máximo.",
            "Não foi feito: o motivo deve ser uma linha de no máximo 200 caracteres.",
        ),
        Refusal::Leftover(rest) => said!(
            language,
            "Not done: \"{rest}\" means nothing here. \"help\" says what can be said.",
            "No se hizo: \"{rest}\" no significa nada aquí. \"ayuda\" dice qué se puede decir.",
            "Não foi feito: \"{rest}\" não significa nada aqui. \"ajuda\" diz o que se pode dizer.",
        ),
        Refusal::NoTarget(named) if named.is_empty() => said!(
            language,
            "Not done: say where the caller is to go, for example \"transfer 2000\".",
            "No se hizo: diga adónde pasar la llamada, por ejemplo \"transferir 2000\".",
            "Não foi feito: diga para onde passar a ligação, por exemplo \"transferir 2000\".",
        ),
        Refusal::NoTarget(named) => said!(
            language,
            "Not done: \"{named}\" is no extension, no queue and no number.",
            "No se hizo: \"{named}\" no es extensión, cola ni número.",
            "Não foi feito: \"{named}\" não é ramal, fila nem número.",
        ),
        Refusal::NoCall(named) => said!(
            language,
            "\"{named}\" is not the id of a call.",
            "\"{named}\" no es el identificador de una llamada.",
            "\"{named}\" não é o identificador de uma ligação.",
        ),
        Refusal::NoLanguage(named) => said!(
            language,
            "I do not speak \"{named}\": en, es or pt.",
            "No hablo \"{named}\": en, es o pt.",
            "Não falo \"{named}\": en, es ou pt.",
        ),
    }
}

pub(super) fn trouble(trouble: Trouble, language: Language) -> String {
    match trouble {
        Trouble::DatabaseAway(verb) => said!(
            language,
            "The database is away: {not_done}. Try again in a moment.",
            "La base de datos no está disponible: {not_done}. Inténtelo otra vez en un momento.",
            "O banco de dados não está disponível: {not_done}. Tente outra vez em um momento.",
            not_done = not_done(verb, language),
        ),
        Trouble::Unknown(verb) => said!(
            language,
            "The database did not answer in time: it is not known whether it was done (\"{verb}\"). Ask for your status.",
            "La base de datos no respondió a tiempo: no se sabe si se hizo (\"{verb}\"). Pregunte por su estado.",
            "O banco de dados não respondeu a tempo: não se sabe se foi feito (\"{verb}\"). Pergunte pelo seu estado.",
            verb = verb.word(language),
        ),
        Trouble::Gone => said!(
            language,
            "Not done: that extension or queue is not there any more.",
            "No se hizo: esa extensión o cola ya no existe.",
            "Não foi feito: esse ramal ou essa fila não existe mais.",
        ),
        Trouble::FloorAway => said!(
            language,
            "The floor does not answer. Try again in a moment.",
            "La central no responde. Inténtelo otra vez en un momento.",
            "A central não responde. Tente outra vez em um momento.",
        ),
        Trouble::TooLate => said!(
            language,
            "Your message came too late to be carried out, and was not. Send it again if you still want it.",
            "Su mensaje llegó demasiado tarde y no se llevó a cabo. Envíelo otra vez si todavía lo quiere.",
            "Sua mensagem chegou tarde demais e não foi executada. Envie-a outra vez se ainda a quiser.",
        ),
        Trouble::TooFast => said!(
            language,
            "Too many messages in too short a time: the last ones were not carried out. Wait a few seconds.",
            "Demasiados mensajes en poco tiempo: los últimos no se llevaron a cabo. Espere unos segundos.",
            "Mensagens demais em pouco tempo: as últimas não foram executadas. Espere alguns segundos.",
        ),
    }
}

fn not_done(verb: Verb, language: Language) -> &'static str {
    language.pick(match verb {
        Verb::LogOn => ["your log-on was not done", "su sesión no se abrió", "você não entrou na fila"],
        Verb::LogOff => ["your log-off was not done", "su sesión no se cerró", "você não saiu da fila"],
        Verb::Pause => ["your pause was not set", "su pausa no empezó", "sua pausa não começou"],
        Verb::Resume => ["your pause was not ended", "su pausa no terminó", "sua pausa não terminou"],
        Verb::Take => ["the call was not given to you", "no se le dio la llamada", "a ligação não foi dada a você"],
        Verb::Decline => ["the call was not declined", "la llamada no se rechazó", "a ligação não foi recusada"],
        Verb::CallBack => ["nobody was called back", "no se devolvió ninguna llamada", "ninguém recebeu retorno"],
        Verb::Transfer => ["nobody was transferred", "no se transfirió a nadie", "ninguém foi transferido"],
        Verb::Status | Verb::Waiting | Verb::Calls | Verb::Why | Verb::Help | Verb::Language => {
            ["it cannot be looked up", "no se puede consultar", "não é possível consultar"]
        }
    })
}
