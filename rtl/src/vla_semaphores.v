// The 16 counting semaphores of 8 bits that order packets of different queues.
// Does: grant a take when every semaphore of its mask is above zero, taking one from each in one step; add
// one to each semaphore of a signal's mask; say when all are zero and which client overflowed one.
// Does not: queue requests, or know packets. A take that cannot be granted simply stays.
// Latency: take_grant_o is combinational; counts change at the clock edge, so a signal can be taken one
// cycle later. Of takes with a semaphore in common the lowest client goes first.
// Overflow: a count past 255 stays at 255 and raises overflow_o for that cycle with the lowest client
// that signalled it.
`default_nettype none
module vla_semaphores #(
  parameter Clients = 6  // at most 7: overflow_client_o has 3 bits
) (
  input  wire                  clk_i,
  input  wire                  rst_i,
  input  wire                  clear_i,  // all counts to zero
  input  wire [Clients-1:0]    take_valid_i,
  input  wire [Clients*16-1:0] take_mask_i,
  output reg  [Clients-1:0]    take_grant_o,
  input  wire [Clients-1:0]    signal_valid_i,
  input  wire [Clients*16-1:0] signal_mask_i,
  output wire                  zero_o,
  output wire                  overflow_o,
  output reg  [2:0]            overflow_client_o
);

  wire [15:0] above_zero;
  wire [15:0] overflow;

  // takes, lowest client first
  reg [15:0] taken;
  reg [15:0] mask;
  integer    i;
  always @(*) begin
    taken = 16'd0;
    mask  = 16'd0;
    for (i = 0; i < Clients; i = i + 1) begin
      mask = take_mask_i[16*i +: 16];
      take_grant_o[i] = take_valid_i[i] && (mask & ~(above_zero & ~taken)) == 16'd0;
      if (take_grant_o[i]) taken = taken | mask;
    end
  end

  // counts
  genvar s;
  genvar c;
  generate
    for (s = 0; s < 16; s = s + 1) begin : g_semaphore
      wire [Clients-1:0] signals;
      for (c = 0; c < Clients; c = c + 1) begin : g_client
        assign signals[c] = signal_valid_i[c] && signal_mask_i[16*c + s];
      end

      reg [2:0] added;
      integer   k;
      always @(*) begin
        added = 3'd0;
        for (k = 0; k < Clients; k = k + 1) added = added + {2'd0, signals[k]};
      end

      reg  [7:0] count_q;
      wire [8:0] count_d = {1'b0, count_q} + {6'd0, added} - {8'd0, taken[s]};
      always @(posedge clk_i) begin
        if (rst_i || clear_i) count_q <= 8'd0;
        else                  count_q <= count_d[8] ? 8'hFF : count_d[7:0];
      end

      assign above_zero[s] = count_q != 8'd0;
      assign overflow[s]   = count_d[8];
    end
  endgenerate

  assign zero_o     = above_zero == 16'd0;
  assign overflow_o = overflow != 16'd0;

  integer n;
  always @(*) begin
    overflow_client_o = 3'd0;
    for (n = Clients - 1; n >= 0; n = n - 1) begin
      if (signal_valid_i[n] && (signal_mask_i[16*n +: 16] & overflow) != 16'd0) begin
        overflow_client_o = n[2:0];
      end
    end
  end

  generate
    if (Clients > 7) begin : g_check
      vla_bad_parameter_semaphore_clients_at_most_7 u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
