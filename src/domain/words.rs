//! What the service writes to members, in the language of the house.
//!
//! Announcements of callers are not here: each queue has a template of its own, for which there is only the one to begin with.

use std::{fmt, time::Duration};

use serde::Deserialize;

use crate::domain::queue::{standing::Standing, transfer::TransferFailure};

/// A language, by the name that Asterisk's folders of sounds have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Language {
    /// English.
    #[default]
    #[serde(rename = "en")]
    English,
    /// Spanish.
    #[serde(rename = "es")]
    Spanish,
    /// Brazilian Portuguese.
    #[serde(rename = "pt_BR")]
    Portuguese,
}

/// What a member is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words<'a> {
    /// They are logged on.
    LoggedOn {
        /// The queue as people read it.
        queue: &'a str,
        /// Their extension.
        extension: &'a str,
    },
    /// They are logged off.
    LoggedOff {
        /// The queue as people read it.
        queue: &'a str,
        /// Their extension.
        extension: &'a str,
    },
    /// They were paused because they did not answer.
    AutoPaused {
        /// The queue as people read it.
        queue: &'a str,
        /// So many calls in a row, at least one.
        unanswered: u32,
    },
    /// They are asked to let the service see their presence.
    MayISee {
        /// The queues for which, as people read them.
        queues: &'a str,
    },
    /// They were paused because they are away.
    PausedByPresence {
        /// The queue as people read it.
        queue: &'a str,
        /// What their client shows.
        reason: &'a str,
    },
    /// They are there again.
    ResumedByPresence {
        /// The queue as people read it.
        queue: &'a str,
    },
    /// They are going to be logged off because they are at no client.
    OfflineSoon {
        /// The queues as people read them.
        queues: &'a str,
        /// Their extension.
        extension: &'a str,
    },
    /// What they can do about a call that is announced to them.
    Claim {
        /// Code of the customer.
        code: &'a str,
    },
    /// What has become of a caller who was announced.
    Standing {
        /// How it stands,
        standing: &'a Standing,
        /// with whom: the phones that ring, who talks with them, the other queue; as people read it.
        with: &'a str,
    },
    /// The transfer that they asked for came to nothing.
    TransferFailed {
        /// Why.
        why: TransferFailure,
    },
}

/// What is said in a language, of three texts with the same places. A place is filled by the variable of its name, or by a value that follows
/// the texts and that each of them has to use: `said!(language, "{n} calls", "{n} llamadas", "{n} ligações", n = calls.len())`.
macro_rules! said {
    ($language:expr, $english:literal, $spanish:literal, $portuguese:literal $(, $place:ident = $value:expr)* $(,)?) => {
        match $language {
            $crate::domain::words::Language::English => format!($english $(, $place = $value)*),
            $crate::domain::words::Language::Spanish => format!($spanish $(, $place = $value)*),
            $crate::domain::words::Language::Portuguese => format!($portuguese $(, $place = $value)*),
        }
    };
}
pub(crate) use said;

/// `1:05`, or `1:02:03` from an hour on.
pub fn clock(span: Duration) -> String {
    let seconds = span.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

impl Language {
    /// That of this language, of what is there in English, Spanish and Portuguese.
    pub fn pick<T>(self, [english, spanish, portuguese]: [T; 3]) -> T {
        match self {
            Self::English => english,
            Self::Spanish => spanish,
            Self::Portuguese => portuguese,
        }
    }

    /// The whole message.
    pub fn say(self, words: Words<'_>) -> String {
        match words {
            Words::LoggedOn { queue, extension } => said!(
                self,
                "You are logged on to {queue} with extension {extension}.",
                "Su sesión está abierta en {queue} con la extensión {extension}.",
                "Você entrou na fila {queue} com o ramal {extension}.",
            ),
            Words::LoggedOff { queue, extension } => said!(
                self,
                "You are logged off from {queue} with extension {extension}.",
                "Su sesión está cerrada en {queue} con la extensión {extension}.",
                "Você saiu da fila {queue} com o ramal {extension}.",
            ),
            Words::AutoPaused { queue, unanswered } => {
                let calls = match unanswered {
                    1 => said!(self, "1 call", "1 llamada", "1 ligação"),
                    _ => said!(
                        self,
                        "{unanswered} calls in a row",
                        "{unanswered} llamadas seguidas",
                        "{unanswered} ligações seguidas",
                    ),
                };
                said!(
                    self,
                    "You did not answer {calls} of {queue} and are paused there. Log on again to take calls.",
                    "No contestó {calls} de {queue} y está en pausa en esa cola. Vuelva a abrir su sesión para recibir llamadas.",
                    "Você não atendeu {calls} da fila {queue} e está em pausa nela. Entre na fila outra vez para receber ligações.",
                )
            }
            Words::MayISee { queues } => said!(
                self,
                "Members of {queues} who are away from their clients are not rung: please let me see whether you are there.",
                "A los miembros de {queues} que no están en su cliente no se les llama: permítame ver si usted está.",
                "Membros de {queues} que não estão no seu cliente não são chamados: permita que eu veja se você está.",
            ),
            Words::PausedByPresence { queue, reason } => said!(
                self,
                "You are paused in {queue} ({reason}) until your client shows you as available, or you write \"resume\".",
                "Está en pausa en {queue} ({reason}) hasta que su cliente lo muestre disponible, o escriba \"reanudar\".",
                "Você está em pausa em {queue} ({reason}) até que seu cliente o mostre disponível, ou escreva \"retomar\".",
            ),
            Words::ResumedByPresence { queue } => said!(
                self,
                "You take calls of {queue} again.",
                "Vuelve a recibir llamadas de {queue}.",
                "Você volta a receber ligações de {queue}.",
            ),
            Words::OfflineSoon { queues, extension } => said!(
                self,
                "Extension {extension} is at no XMPP client and will be logged off from {queues} in a minute.",
                "La extensión {extension} no está en ningún cliente XMPP y se cerrará su sesión en {queues} en un minuto.",
                "O ramal {extension} não está em nenhum cliente XMPP e sairá de {queues} em um minuto.",
            ),
            Words::Claim { code } => said!(
                self,
                "Answer \"take {code}\" or \"decline {code}\".",
                "Responda \"tomar {code}\" o \"rechazar {code}\".",
                "Responda \"pegar {code}\" ou \"recusar {code}\".",
            ),
            Words::Standing { standing, with } => self.stands(standing, with),
            Words::TransferFailed { why } => said!(
                self,
                "Your transfer did not work: {why}. The caller comes back to you.",
                "No se pudo transferir la llamada: {why}. Quien llama vuelve a usted.",
                "Não foi possível transferir a ligação: {why}. Quem ligou volta para você.",
                why = self.pick(failed(why)),
            ),
        }
    }

    fn stands(self, standing: &Standing, with: &str) -> String {
        match standing {
            Standing::Waits => said!(self, "waits", "espera", "espera"),
            Standing::CallsBack => said!(
                self,
                "waits to be called back",
                "espera que se le devuelva la llamada",
                "espera que liguem de volta",
            ),
            Standing::Rings(_) => said!(self, "rings at {with}", "suena en {with}", "tocando em {with}"),
            Standing::Taken(_) => said!(self, "taken by {with}", "atiende {with}", "atendida por {with}"),
            Standing::WentOn(_) | Standing::SentTo(_) => {
                said!(self, "went on to {with}", "pasó a {with}", "passou para {with}")
            }
            Standing::HungUp => said!(self, "hung up", "colgó", "desligou"),
            Standing::Cancelled => said!(
                self,
                "need not be called back",
                "ya no hay que devolver la llamada",
                "não é mais preciso ligar de volta",
            ),
            Standing::NotReached => {
                said!(self, "could not be reached", "no se le pudo localizar", "não foi possível falar com a pessoa")
            }
            Standing::CalledAgain => said!(self, "has called again", "volvió a llamar", "ligou outra vez"),
            Standing::Left => said!(self, "left the queue", "salió de la cola", "saiu da fila"),
        }
    }

    /// Its tag (RFC 5646).
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Spanish => "es",
            Self::Portuguese => "pt-BR",
        }
    }

    /// The announcement of a queue that has none of its own; see [`crate::domain::queue::announce`].
    pub fn announcement(self) -> &'static str {
        match self {
            Self::English => crate::domain::queue::announce::DEFAULT,
            Self::Spanish | Self::Portuguese => "{queue}: Cliente {name}",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::English => "en",
            Self::Spanish => "es",
            Self::Portuguese => "pt_BR",
        })
    }
}

/// Why a transfer came to nothing, in English, Spanish and Portuguese.
pub fn failed(why: TransferFailure) -> [&'static str; 3] {
    match why {
        TransferFailure::Busy => {
            ["the other phone is busy", "el otro teléfono está ocupado", "o outro telefone está ocupado"]
        }
        TransferFailure::Rejected => ["the call was declined", "rechazaron la llamada", "a ligação foi recusada"],
        TransferFailure::NoAnswer => ["nobody answered", "nadie contestó", "ninguém atendeu"],
        TransferFailure::Unavailable => {
            ["the number cannot be reached", "no se puede llegar a ese número", "não foi possível chegar a esse número"]
        }
        TransferFailure::QueueClosed => {
            ["the queue takes no callers now", "la cola no recibe llamadas ahora", "a fila não recebe ligações agora"]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::queue::announce::Template;

    const ALL: [Language; 3] = [Language::English, Language::Spanish, Language::Portuguese];

    #[test]
    fn each_message_names_queue_and_extension_in_each_language_and_no_two_are_the_same() {
        let queue = "Support";
        let mut all = Vec::new();
        for language in ALL {
            for words in [
                Words::LoggedOn { queue, extension: "1000" },
                Words::LoggedOff { queue, extension: "1000" },
                Words::AutoPaused { queue, unanswered: 1 },
                Words::AutoPaused { queue, unanswered: 3 },
                Words::MayISee { queues: queue },
                Words::PausedByPresence { queue, reason: "dnd" },
                Words::ResumedByPresence { queue },
                Words::OfflineSoon { queues: queue, extension: "1000" },
            ] {
                let said = language.say(words);
                let number = match words {
                    Words::LoggedOn { extension, .. } | Words::LoggedOff { extension, .. } => extension.to_owned(),
                    Words::AutoPaused { unanswered, .. } => unanswered.to_string(),
                    Words::OfflineSoon { extension, .. } => extension.to_owned(),
                    Words::PausedByPresence { reason, .. } => reason.to_owned(),
                    Words::MayISee { .. }
                    | Words::ResumedByPresence { .. }
                    | Words::Claim { .. }
                    | Words::Standing { .. }
                    | Words::TransferFailed { .. } => String::new(),
                };
                assert!(said.contains(queue) && said.contains(&number), "{said}");
                assert!(!all.contains(&said), "{said}");
                all.push(said);
            }
        }
        assert_eq!(all[2], "You did not answer 1 call of Support and are paused there. Log on again to take calls.");
        assert!(all[3].contains("3 calls in a row"), "{}", all[3]);
    }

    #[test]
    fn the_first_announcement_of_a_queue_is_a_valid_template_in_each_language() {
        for language in ALL {
            language.announcement().parse::<Template>().unwrap();
        }
    }
}
