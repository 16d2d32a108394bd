//! The texts of answers, the three languages side by side.

mod calls;
mod claims;
mod refused;
mod standing;

use jiff::civil::Time;

use super::Answer;
use crate::domain::{
    command::Verb,
    words::{Language, said},
};

const HELP: [[&str; 3]; 14] = [
    [
        "login [queue]: take calls, of all your queues if you name none",
        "entrar [cola]: recibir llamadas, de todas sus colas si no nombra ninguna",
        "entrar [fila]: receber ligações, de todas as suas filas se não nomear nenhuma",
    ],
    ["logout [queue]: take no more", "salir [cola]: no recibir más", "sair [fila]: não receber mais"],
    [
        "pause [reason] [queue]: none for now, for example \"pause lunch\"",
        "pausa [motivo] [cola]: ninguna por ahora, por ejemplo \"pausa almuerzo\"",
        "pausa [motivo] [fila]: nenhuma por enquanto, por exemplo \"pausa almoço\"",
    ],
    ["resume [queue]: again", "reanudar [cola]: otra vez", "retomar [fila]: de novo"],
    ["status: how you stand", "estado: cómo está usted", "estado: como você está"],
    ["waiting [queue]: who waits", "espera [cola]: quién espera", "espera [fila]: quem espera"],
    [
        "take [code]: have the first who waits, or this customer",
        "tomar [código]: recibir al primero que espera, o a este cliente",
        "pegar [código]: receber o primeiro que espera, ou este cliente",
    ],
    [
        "decline [code] [reason]: leave a call that is offered to you to the others",
        "rechazar [código] [motivo]: dejar a los demás una llamada que se le ofrece",
        "recusar [código] [motivo]: deixar aos outros uma ligação que lhe é oferecida",
    ],
    [
        "callback [code or number]: call back the last who called in vain, or this customer",
        "devolver [código o número]: devolver la llamada al último que llamó en vano, o a este cliente",
        "retornar [código ou número]: ligar de volta para o último que ligou em vão, ou para este cliente",
    ],
    [
        "transfer extension, queue or number: send the caller on with whom you talk",
        "transferir extensión, cola o número: pasar la llamada que usted atiende",
        "transferir ramal, fila ou número: passar a ligação que você atende",
    ],
    ["calls: your calls of today", "llamadas: sus llamadas de hoy", "ligações: suas ligações de hoje"],
    [
        "why [call]: who could have had your last call, and what decided",
        "por qué [llamada]: quién pudo recibir su última llamada, y qué decidió",
        "por quê [ligação]: quem poderia ter recebido sua última ligação, e o que decidiu",
    ],
    [
        "language en, es or pt: the language of the answers",
        "idioma en, es o pt: el idioma de las respuestas",
        "idioma en, es ou pt: o idioma das respostas",
    ],
    [
        "A supervisor puts an extension after the word: pause 1000 lunch",
        "Un supervisor pone la extensión después de la palabra: pausa 1000 almuerzo",
        "Um supervisor põe o ramal depois da palavra: pausa 1000 almoço",
    ],
];

impl Answer {
    /// The whole text.
    pub fn say(&self, language: Language) -> String {
        match self {
            Self::ShortHelp => said!(
                language,
                "I know these words: {words}. \"help\" says more.",
                "Conozco estas palabras: {words}. \"ayuda\" dice más.",
                "Conheço estas palavras: {words}. \"ajuda\" diz mais.",
                words = Verb::ALL.map(|verb| verb.word(language)).join(", "),
            ),
            Self::Help => HELP.map(|line| language.pick(line)).join("\n"),
            Self::Languages => said!(
                language,
                "I speak English (en), Spanish (es) and Portuguese (pt): for example, \"language es\".",
                "Hablo inglés (en), español (es) y portugués (pt): por ejemplo, \"idioma en\".",
                "Falo inglês (en), espanhol (es) e português (pt): por exemplo, \"idioma en\".",
            ),
            Self::LanguageIs => said!(
                language,
                "I answer in English from now on.",
                "Desde ahora respondo en español.",
                "A partir de agora respondo em português.",
            ),
            Self::LoggedOn { extension, queues } => said!(
                language,
                "Extension {extension} is logged on to {queues}.",
                "La extensión {extension} tiene la sesión abierta en {queues}.",
                "O ramal {extension} entrou em {queues}.",
                queues = queues.join(", "),
            ),
            Self::LoggedOff { extension, queues } if queues.is_empty() => said!(
                language,
                "Extension {extension} was not logged on to any queue.",
                "La extensión {extension} no tenía sesión abierta en ninguna cola.",
                "O ramal {extension} não estava em nenhuma fila.",
            ),
            Self::LoggedOff { extension, queues } => said!(
                language,
                "Extension {extension} is logged off from {queues}.",
                "La extensión {extension} tiene la sesión cerrada en {queues}.",
                "O ramal {extension} saiu de {queues}.",
                queues = queues.join(", "),
            ),
            Self::Paused { extension, queue, reason } => said!(
                language,
                "Extension {extension} is paused {place}{why}.",
                "La extensión {extension} está en pausa {place}{why}.",
                "O ramal {extension} está em pausa {place}{why}.",
                place = standing::place(queue.as_deref(), language),
                why = because(reason),
            ),
            Self::Resumed { extension, queue, ended, left } => {
                standing::resumed(extension, queue.as_deref(), *ended, left, language)
            }
            Self::Status(status) => standing::status(status, language),
            Self::Waiting(lines) if lines.is_empty() => said!(
                language,
                "You are a member of no queue.",
                "Usted no es miembro de ninguna cola.",
                "Você não é membro de nenhuma fila.",
            ),
            Self::Waiting(lines) => {
                lines.iter().map(|line| calls::waiting(line, language)).collect::<Vec<_>>().join("\n")
            }
            Self::Taken { code, name } => claims::taken(code, name, language),
            Self::NotTaken(why) => claims::not_taken(why, language),
            Self::Declined { code, name } => claims::declined(code, name, language),
            Self::NotDeclined(why) => claims::not_declined(*why, language).into(),
            Self::CallsBack { code, name, number } => claims::calls_back(code, name, number, language),
            Self::NotCalledBack(why) => claims::not_called_back(why.as_ref(), language),
            Self::Transferred { code, name, to } => claims::transferred(code, name, to, language),
            Self::NotTransferred(why) => claims::not_transferred(*why, language),
            Self::Calls { extension, calls, .. } if calls.is_empty() => said!(
                language,
                "Extension {extension} has answered no call today.",
                "La extensión {extension} no ha contestado ninguna llamada hoy.",
                "O ramal {extension} não atendeu nenhuma ligação hoje.",
            ),
            Self::Calls { extension, calls, more } => calls::today(extension, calls, *more, language),
            Self::Story(story) => calls::story(story, language),
            Self::NoStory => said!(
                language,
                "There is no such call of yours.",
                "No hay tal llamada suya.",
                "Não há tal ligação sua.",
            ),
            Self::Refused(refusal) => refused::refused(refusal, language),
            Self::Trouble(trouble) => refused::trouble(*trouble, language),
            Self::AlreadyDone => said!(
                language,
                "What you correct was done already and is not undone by it. Send what you want now as a new message.",
                "Lo que corrige ya se hizo, y la corrección no lo deshace. Envíe lo que quiere ahora como un mensaje nuevo.",
                "O que você corrige já foi feito, e a correção não o desfaz. Envie o que quer agora como mensagem nova.",
            ),
            Self::Several(answers) => answers.iter().map(|answer| answer.say(language)).collect::<Vec<_>>().join("\n"),
        }
    }
}

/// `09:05`.
pub fn hour(at: Time) -> String {
    format!("{:02}:{:02}", at.hour(), at.minute())
}

/// `Company 1 (1111)`.
fn customer(code: &str, name: &str) -> String {
    if code.is_empty() { name.to_owned() } else { format!("{name} ({code})") }
}

/// `: lunch`, or nothing.
fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}
