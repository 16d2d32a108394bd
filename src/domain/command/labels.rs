//! What stands on forms: names of commands and fields, in three languages.

use crate::domain::{command::Verb, words::Language};

/// Something that stands on a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// The list of commands.
    Commands,
    /// The name of a command.
    Title(Verb),
    /// The number of an agent.
    Extension,
    /// Several queues.
    Queues,
    /// One queue.
    Queue,
    /// No queue in particular.
    Everywhere,
    /// Why somebody pauses, from a list.
    Reason,
    /// The same in their own words.
    OtherReason,
    /// The id of a call, or nothing.
    Call,
    /// The code of a customer, or nothing.
    WhichCustomer,
    /// Code of a customer, or their number, or nothing.
    WhoWasLost,
    /// Where a caller is sent.
    Target,
    /// A button: have this caller.
    Take,
    /// A button: leave this call to others.
    Decline,
    /// Place in line.
    Place,
    /// Name of the customer.
    Customer,
    /// Code of the customer.
    Code,
    /// For how long somebody waits.
    Waited,
    /// When a call came.
    Time,
    /// How long a talk was.
    Talk,
    /// Id of a call.
    CallId,
}

impl Label {
    /// The text.
    pub fn say(self, language: Language) -> &'static str {
        language.pick(match self {
            Self::Commands => ["Call centre", "Centro de llamadas", "Central de atendimento"],
            Self::Title(verb) => return title(verb, language),
            Self::Extension => ["Extension", "Extensión", "Ramal"],
            Self::Queues => ["Queues", "Colas", "Filas"],
            Self::Queue => ["Queue", "Cola", "Fila"],
            Self::Everywhere => ["all queues", "todas las colas", "todas as filas"],
            Self::Reason => ["Reason", "Motivo", "Motivo"],
            Self::OtherReason => ["Another reason", "Otro motivo", "Outro motivo"],
            Self::Call => [
                "Id of the call; empty: your last one",
                "Identificador de la llamada; vacío: su última llamada",
                "Identificador da ligação; vazio: sua última ligação",
            ],
            Self::WhichCustomer => [
                "Code of the customer; empty: the first in line",
                "Código del cliente; vacío: el primero de la cola",
                "Código do cliente; vazio: o primeiro da fila",
            ],
            Self::WhoWasLost => [
                "Code or number of the customer; empty: the last who called in vain",
                "Código o número del cliente; vacío: el último que llamó en vano",
                "Código ou número do cliente; vazio: o último que ligou em vão",
            ],
            Self::Target => ["Extension, queue or number", "Extensión, cola o número", "Ramal, fila ou número"],
            Self::Take => ["Take", "Tomar", "Pegar"],
            Self::Decline => ["Decline", "Rechazar", "Recusar"],
            Self::Place => ["Place", "Lugar", "Lugar"],
            Self::Customer => ["Customer", "Cliente", "Cliente"],
            Self::Code => ["Code", "Código", "Código"],
            Self::Waited => ["Waiting for", "Espera desde hace", "Espera há"],
            Self::Time => ["Time", "Hora", "Hora"],
            Self::Talk => ["Talk", "Conversación", "Conversa"],
            Self::CallId => ["Call", "Llamada", "Ligação"],
        })
    }
}

fn title(verb: Verb, language: Language) -> &'static str {
    language.pick(match verb {
        Verb::LogOn => ["Log on", "Abrir sesión", "Entrar na fila"],
        Verb::LogOff => ["Log off", "Cerrar sesión", "Sair da fila"],
        Verb::Pause => ["Pause", "Pausa", "Pausa"],
        Verb::Resume => ["End the pause", "Terminar la pausa", "Terminar a pausa"],
        Verb::Status => ["Status", "Estado", "Estado"],
        Verb::Waiting => ["Who is waiting", "Quién espera", "Quem espera"],
        Verb::Take => ["Take a call", "Tomar una llamada", "Pegar uma ligação"],
        Verb::Decline => ["Decline a call", "Rechazar una llamada", "Recusar uma ligação"],
        Verb::CallBack => ["Call back", "Devolver una llamada", "Retornar uma ligação"],
        Verb::Transfer => ["Transfer my caller", "Transferir a quien llama", "Transferir quem ligou"],
        Verb::Calls => ["My calls today", "Mis llamadas de hoy", "Minhas ligações de hoje"],
        Verb::Why => {
            ["Why a call went where it went", "Por qué una llamada fue adonde fue", "Por que uma ligação foi aonde foi"]
        }
        Verb::Help => ["Help", "Ayuda", "Ajuda"],
        Verb::Language => ["Language", "Idioma", "Idioma"],
    })
}

/// What people pause for.
pub fn usual_reasons(language: Language) -> [&'static str; 5] {
    language.pick([
        ["lunch", "break", "meeting", "training", "back office"],
        ["almuerzo", "descanso", "reunión", "formación", "trabajo administrativo"],
        ["almoço", "intervalo", "reunião", "treinamento", "trabalho administrativo"],
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::name;

    #[test]
    fn every_label_and_reason_is_there_in_each_language() {
        for language in [Language::English, Language::Spanish, Language::Portuguese] {
            let titles = Verb::ALL.map(|verb| Label::Title(verb).say(language));
            assert!(titles.iter().all(|title| titles.iter().filter(|other| other == &title).count() == 1));
            for reason in usual_reasons(language) {
                assert_eq!(name::reason(reason).as_deref(), Ok(reason));
            }
        }
    }
}
